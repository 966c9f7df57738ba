"""Leave nothing in the root file system but Python and what it needs: `python strip_root.py`, inside a build stage.

An intruder who can run code in the server finds no shell, no package manager, no pip, no downloader, no setuid file and
no compiler to go on with. Stays: the interpreter, shared libraries, CA certificates, time zones, the packages' licence
texts, and dpkg's list of what is installed, which vulnerability scanners read.

The stage's own shell is removed too: this must be the stage's last command.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import sysconfig
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
    "**/__pycache__",  # compiled again, reproducibly
)

USER_ID = 10001


def strip(root: Path, library: Path) -> None:
    """Strip the file system below `root`, with Python's library at `library`."""
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
    strip(Path("/"), Path(sysconfig.get_path("stdlib")))
