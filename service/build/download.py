"""Fetch one file once: resumed where it broke off, verified, and never there under its name before it is whole."""

from __future__ import annotations

import http.client
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from service.build.atomic_folder import alone
from service.errors import ServiceError
from service.model.bundle import sha256

_CHUNK_BYTES = 1 << 18
_TIMEOUT_SEC = 15
_ATTEMPTS = 3

Progress = Callable[[int, int | None], None]  # (bytes that arrived just now, total bytes where it is known)


class Unreachable(ServiceError):
    """The file cannot be fetched from here, or not be kept."""


class Corrupt(ServiceError):
    """The file arrived and is not what it should be."""


def fetch(url: str, target: Path, digest: str, size_bytes: int | None = None, progress: Progress | None = None) -> Path:
    """Return `target`, after downloading it from `url` unless it is there already.

    What arrived of a broken download stays beside the target as `.part` and is continued the next time.

    Args:
        url: an http or https address; the server may or may not support ranges.
        target: where the file will be; its folder is made.
        digest: the SHA-256 in hexadecimal, or as many of its first digits as are known.
        size_bytes: the expected size, where it is known.
        progress: told of every piece that arrives.

    Raises:
        Unreachable: no connection, or it broke off several times, or no place to write; says what to do.
        Corrupt: the size or the hash differs; the file is removed.
    """
    if is_cached(target, url, digest, size_bytes):
        return target
    with alone(target.parent):  # two would write the same part
        if not is_cached(target, url, digest, size_bytes):
            _fetch(url, target, digest, size_bytes, progress)
    return target


def _fetch(url: str, target: Path, digest: str, size_bytes: int | None, progress: Progress | None) -> None:
    part = target.with_name(target.name + ".part")
    for attempt in range(1, _ATTEMPTS + 1):
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(url, part, size_bytes, progress)
            break
        except (OSError, http.client.HTTPException) as error:
            arrived = part.stat().st_size if part.exists() else 0
            refused = False
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
                refused = error.code < 500
            if refused or attempt == _ATTEMPTS or arrived == before:
                reason = getattr(error, "reason", None) or error
                kept = f" (it continues at {arrived} bytes)" if arrived else ""
                raise Unreachable(
                    f"{url} cannot be fetched: {reason}. Check the network and try again{kept}, or fetch it elsewhere "
                    f"and put it at {target}"
                ) from None
            time.sleep(attempt)  # something did arrive: the line is bad, not closed
    verify(part, url, digest, size_bytes)
    part.replace(target)


def is_cached(target: Path, source: str, digest: str, size_bytes: int | None) -> bool:
    """Return whether the file is there; otherwise its folder is made, and can be written.

    Raises:
        Unreachable: there is no place for it.
        Corrupt: what is there is something else; it is removed.
    """
    try:
        if target.exists():
            verify(target, source, digest, size_bytes)
            return True
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise Unreachable(
            f"{source} cannot be kept in {target.parent}: {error.strerror}. Choose a folder with TORCH_HOME"
        ) from None
    return False


def _receive(url: str, part: Path, size_bytes: int | None, progress: Progress | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if size_bytes is not None and have == size_bytes:
        return None
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r}: expected an http or https address")
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310  # checked
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SEC)  # noqa: S310  # checked above
    except urllib.error.HTTPError as error:
        if error.code != 416:  # range not satisfiable: what we have is not a beginning of it
            raise
        error.close()
        part.unlink()
        return _receive(url, part, size_bytes, progress)
    with response:
        resumed = response.status == 206
        length = response.headers.get("Content-Length")
        total = int(length) + (have if resumed else 0) if length else size_bytes
        if progress and resumed:
            progress(have, total)
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                if progress:
                    progress(len(chunk), total)
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"the connection closed after {part.stat().st_size} of {total} bytes")
    return None


def verify(file: Path, source: str, digest: str, size_bytes: int | None) -> None:
    """Raise Corrupt, and remove the file, where its size or SHA-256 is not the expected one."""
    size, digest_of_file = file.stat().st_size, sha256(file)
    if digest_of_file.startswith(digest) and size_bytes in (None, size):
        return
    file.unlink()
    raise Corrupt(
        f"{source} gave {size} bytes with SHA-256 {digest_of_file}, expected {digest}"
        + (f" and {size_bytes} bytes" if size_bytes is not None else "")
        + ". The file was removed; try again, and if it happens again do not trust that source."
    )
