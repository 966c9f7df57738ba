"""A folder that is there whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from service.errors import BuildError
from service.model import bundle


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` that takes its place when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not (target / bundle.MANIFEST).exists() and any(target.iterdir()):
        raise BuildError(f"{target} holds something that is no model bundle; choose another --output or remove it")
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's folders are private, a container's user must read this one
        old = folder.with_name(folder.name + "-old")
        if target.exists():
            target.rename(old)
        folder.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
