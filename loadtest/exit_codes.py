"""What a load test ends with, of `locust` and of `python -m loadtest` alike; 0 where every target is met."""

from __future__ import annotations

from loadtest.judge.document import RunDocument

MISSED = 1
USAGE = 2  # nothing was judged
LATE = 3  # times alone are missed
INTERRUPTED = 130


def of_result(result: RunDocument) -> int:
    """Return what a run ends with."""
    if result["interrupted"]:
        return INTERRUPTED
    return 0 if result["met"] else LATE if result["only_late"] else MISSED
