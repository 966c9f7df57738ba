"""What stops a step: one sentence that says what happened and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable


class Stop(Exception):
    """A step cannot go on; the fleet is as it was, unless the sentence says otherwise."""


class Locked(Stop):
    """Somebody else is changing the stack at this moment."""


def say(message: str) -> None:
    """Print a line at once: the logs of a build are read while it runs."""
    print(message, flush=True)


def main(step: Callable[[], None]) -> None:
    """Run a step; a Stop ends the process with its sentence and code 1."""
    try:
        step()
    except Stop as reason:
        print(f"pipeline: {reason}", file=sys.stderr, flush=True)
        sys.exit(1)
