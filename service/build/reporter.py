"""How a build tells a person what it does; the command line brings one, tests another."""

from __future__ import annotations

import contextlib
from typing import Protocol


class Step(Protocol):
    """Moves a progress bar."""

    def __call__(self, count: int = 1, total: int | None = None) -> None:
        """Move by `count`; `total` is given where it has become known."""


class Reporter(Protocol):
    """How a build tells a person what it does."""

    def say(self, message: str) -> None:
        """Print one line."""

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Step]:
        """Show a progress bar of `total` steps, 0 where that is not known yet."""
