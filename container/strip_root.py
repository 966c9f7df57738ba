"""Leave nothing in the root file system but Python and what it needs: `python strip_root.py PACKAGES`, in a stage.

An intruder who can run code in the server finds no shell, no package manager, no pip, no downloader, no setuid file and
no compiler to go on with. Stays: the interpreter, the shared libraries that it or the folder PACKAGES loads, CA
certificates, time zones, the packages' licence texts, and dpkg's list of what is installed, which vulnerability
scanners read.

The stage's own shell is removed too: this must be the stage's last command.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

PROGRAMS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin")

# Below the root, with globs.
UNUSED = (
    "etc/apt",
    "etc/cron*",
    "etc/init*",
    "etc/logrotate*",
    "etc/pam*",
    "etc/rc*.d",
    "etc/security",
    "etc/skel",
    "etc/systemd",
    "etc/*shadow*",
    "etc/*-",
    "root/.*",
    "usr/games",
    "usr/include",
    "usr/lib/apt",
    "usr/lib/dpkg",
    "usr/lib/gcc*",
    "usr/lib/init",
    "usr/lib/python3/dist-packages",
    "usr/lib/systemd",
    "usr/lib/udev",
    "usr/lib/*/perl*",
    "usr/lib/*/security",
    "usr/lib/*/gconv",
    "usr/local/include",
    "usr/local/share",
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/debconf",
    "usr/share/doc/*/examples",
    "usr/share/dpkg",
    "usr/share/gcc*",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/pam*",
    "usr/share/perl*",
    "usr/share/python-wheels",
    "usr/share/python3",
    "usr/src",
    "var/backups",
    "var/cache/*",
    "var/lib/apt",
    "var/lib/dpkg/info",
    "var/lib/pam",
    "var/lib/systemd",
    "var/log/*",
    "var/mail",
    "var/spool",
    "tmp/*",
)

# Parts of Python's own library that a server does not use.
UNUSED_PYTHON = (
    "site-packages",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "tkinter",
    "turtledemo",
    "config-*",
    "curses",
    "dbm",
    "distutils",
    "sqlite3",
    *(
        f"lib-dynload/{name}.*"
        for name in ("_curses*", "_dbm", "_gdbm", "_sqlite3", "_test*", "_xx*", "nis", "readline")
    ),
    "**/__pycache__",  # compiled again, reproducibly
)

USER_ID = 10001


def strip(root: Path, library: Path, packages: Path) -> None:
    """Strip the file system below `root`, with Python's library at `library`, which is to run `packages`."""
    for name in PROGRAMS:
        folder = root / name
        if folder.is_symlink() or not folder.is_dir():
            continue
        for file in folder.iterdir():
            if not file.name.startswith("python3") or file.name.endswith("-config"):
                _remove(file)
    for pattern in UNUSED:
        for path in root.glob(pattern):
            _remove(path)
    for pattern in UNUSED_PYTHON:
        for path in library.glob(pattern):
            _remove(path)
    _remove_libraries(
        root, [Path(sys.executable).resolve(), *library.glob("lib-dynload/*.so"), *packages.rglob("*.so*")]
    )
    for folder_name, _, names in os.walk(root / "usr/share/doc"):
        for name in names:
            if name != "copyright":
                _remove(Path(folder_name) / name)
    # A name for the user that the server runs as, and no other account to become.
    (root / "etc/passwd").write_text(
        f"root:x:0:0:root:/:/none\nserver:x:{USER_ID}:{USER_ID}:server:/:/none\n", encoding="ascii"
    )
    (root / "etc/group").write_text(f"root:x:0:\nserver:x:{USER_ID}:\n", encoding="ascii")
    _drop_setuid(root)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_libraries(root: Path, users: Iterable[Path]) -> None:
    """Remove Debian's shared libraries that none of `users`, programs and libraries, loads when it is started."""
    loader = next(root.glob("lib*/ld-linux-*.so.*"))
    needed = {loader.resolve()}
    for user in users:
        # Lines like "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x...)"; nothing for what is no such file.
        command = [str(loader), "--list", str(user)]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603  # our own
        needed |= {Path(word).resolve() for word in listed.split() if word.startswith("/")}
    # The C library loads these by name: of the name service, and what ends a thread.
    by_name = ("libnss_", "libgcc_s")
    for library in root.glob("usr/lib/*-linux-gnu/lib*.so*"):
        if library.resolve() not in needed and not library.name.startswith(by_name):
            _remove(library)


def _drop_setuid(root: Path) -> None:
    for folder_name, folders, names in os.walk(root):
        folders[:] = [
            name for name in folders if Path(folder_name) / name not in (Path("/proc"), Path("/sys"), Path("/dev"))
        ]
        for name in names:
            path = Path(folder_name) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))


if __name__ == "__main__":
    if "BUILDING_IMAGE" not in os.environ:
        sys.exit(
            "strip_root.py removes most of the file system it runs in; it is for a stage of the image's build only"
        )
    strip(Path("/"), Path(sysconfig.get_path("stdlib")), Path(sys.argv[1]))
