"""A folder that is there whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from service.errors import BuildError
from service.model import bundle

_OF_A_VOLUME = "lost+found"  # what a volume's own folder holds


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a folder that takes the place of `target` when the block ends well, and vanishes when it does not.

    It is beside `target`, or inside where nothing can be made beside it. A mount, such as a volume of a container, has
    no place that could be taken: it gets new contents, the manifest last.

    Raises:
        BuildError: `target` cannot be written, or holds what is no model bundle; before the block is entered.
    """
    try:
        target = target.resolve()  # behind a link, what it leads to
    except RuntimeError:  # Python 3.12 and older; newer ones go on, and the system says so below
        raise BuildError(f"{target} is a link that leads to itself. Choose another --output") from None
    prefix = f".{target.name}-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target.parent):
            if target.exists():
                others = [
                    item for item in target.iterdir() if item.name != _OF_A_VOLUME and not item.name.startswith(prefix)
                ]
                if others and not (target / bundle.MANIFEST).exists():
                    raise BuildError(
                        f"{target} holds something that is no model bundle; choose another --output or remove it"
                    )
                tempfile.TemporaryFile(dir=target).close()
            try:
                folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
            except OSError:
                if not target.exists():
                    raise
                folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target))
    except OSError as error:
        raise BuildError(f"{target} cannot be written: {error.strerror}. Choose another --output") from None
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's folders are private, a container's user must read this one
        with alone(target.parent):
            _put(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def alone(parent: Path) -> Iterator[None]:
    """Let other builds that write into the same folder wait. Where there are no locks, there is none."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            place = os.open(parent, os.O_RDONLY)
            stack.callback(os.close, place)
            fcntl.flock(place, fcntl.LOCK_EX)
        yield


def _put(folder: Path, target: Path) -> None:
    old = folder.with_name(folder.name + "-old")
    if target.exists():
        try:
            target.rename(old)
        except OSError:  # a mount, or the folder in which nothing else can be made
            _fill(folder, target)
            return
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _fill(folder: Path, target: Path) -> None:
    (target / bundle.MANIFEST).unlink(missing_ok=True)  # nothing in between is taken for a bundle
    for item in target.iterdir():
        if item.is_dir() and item.name != _OF_A_VOLUME and item != folder:
            shutil.rmtree(item)
        elif not item.is_dir():
            item.unlink()
    for item in sorted(folder.iterdir(), key=lambda item: item.name == bundle.MANIFEST):
        shutil.move(item, target / item.name)
