"""The rated requests a second: the highest rate at which every target holds, by open-loop steps, several times over.

Steps climb by a factor until a target is missed, then halve the distance (on a logarithmic scale) between the last rate
that held and the first that did not. The whole search is repeated, and the rate that counts is the lowest that a search
ended with: it held each time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.judge.metrics import PERCENTILES
from loadtest.judge.targets import RATE, Target, Verdict
from loadtest.measure.percentiles import samples_needed
from loadtest.plan.mix import Mix, share
from loadtest.plan.schedule import Phase, Scenario, Spacing

_CLIMB = 1.5
_CLIMB_AGAIN = 1.2  # a repeated search knows about where to look
_BEGIN_AGAIN = 0.75
_SETTLE_SEC = 1.0
_LONGEST_STEP_SEC = 600.0
_LOWEST_PER_SEC = 0.5


@dataclass(frozen=True)
class Search:
    """What the command line says about the searches."""

    first: float
    most: float
    step_sec: float
    warm_up_sec: float
    precision: float
    repeats: int
    spacing: Spacing


@dataclass(frozen=True)
class Step:
    """One rate that was tried, with its verdicts."""

    per_sec: float
    verdicts: list[Verdict]
    repeat: int

    @property
    def met(self) -> bool:
        """Return whether every target held."""
        return all(verdict.met for verdict in self.verdicts)

    def __str__(self) -> str:
        missed = [str(verdict) for verdict in self.verdicts if not verdict.met]
        return f"{self.per_sec:>7g}/s  " + ("met" if self.met else f"MISSED: {'; '.join(missed)}")


Measure = Callable[[float, int], Step]  # of a rate, in a repeat


@dataclass
class Rating:
    """What the searches ended with."""

    steps: list[Step] = field(default_factory=list)
    repeats_per_sec: list[float] = field(default_factory=list)  # of each repeat, 0 where no rate held
    limited: bool = False  # the highest rate that was allowed still held

    @property
    def per_sec(self) -> float:
        """Return the rate that held in every repeat."""
        return min(self.repeats_per_sec, default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return what the small file says of the searches, all rates in requests a second."""
        return {
            "rated_per_sec": self.per_sec,
            "lowest_per_sec": self.per_sec,
            "median_per_sec": statistics.median(self.repeats_per_sec),
            "highest_per_sec": max(self.repeats_per_sec),
            "repeats_per_sec": self.repeats_per_sec,
            "limited_by_option_to": self.limited,
            "steps": [
                {
                    "repeat": step.repeat,
                    "per_sec": step.per_sec,
                    "met": step.met,
                    "figures": [
                        {"name": v.target.name, "condition": v.target.condition, "measured": v.measured, "met": v.met}
                        for v in step.verdicts
                    ],
                }
                for step in self.steps
            ],
        }


def rate(measure: Measure, first: float, most: float, precision: float, repeats: int) -> Rating:
    """Search `repeats` times for the highest rate from `first` up to `most`, to within `precision` (0.05 is 5 %)."""
    rating = Rating()
    for repeat in range(repeats):
        if repeat and not rating.repeats_per_sec[-1]:
            break  # it will not hold the next time either
        begin, climb = (first, _CLIMB) if not repeat else (_BEGIN_AGAIN * rating.repeats_per_sec[-1], _CLIMB_AGAIN)
        rating.repeats_per_sec.append(_search(measure, rating, begin, most, climb, precision, repeat))
    return rating


def _search(
    measure: Measure, rating: Rating, first: float, most: float, climb: float, precision: float, repeat: int
) -> float:
    held, missed = 0.0, math.inf

    def attempt(per_sec: float) -> None:
        nonlocal held, missed
        step = measure(per_sec, repeat)
        rating.steps.append(step)
        if step.met:
            held = per_sec
        else:
            missed = per_sec

    attempt(_rounded(min(first, most)))
    while not held and missed / 2 >= _LOWEST_PER_SEC:
        attempt(_rounded(missed / 2))
    while held and missed == math.inf:
        if held >= most:
            rating.limited = True
            return held
        attempt(_rounded(min(held * climb, most)))
    while held and missed / held > 1 + precision:
        middle = _rounded(math.sqrt(held * missed))
        if not held < middle < missed:
            break
        attempt(middle)
    return held


def scenario(per_sec: float, targets: list[Target], mix: Mix, least_sec: float, spacing: Spacing) -> Scenario:
    """Return a step that is long enough to know every percentile that a target names.

    Raises:
        LoadTestError: that would take more than ten minutes.
    """
    seconds = least_sec
    for target in targets:
        if target.metric in PERCENTILES:
            part = share(mix, target.request_kind) if target.request_kind else 1.0
            if part:
                # A deck is dealt in full only in the long run: a few requests more make sure.
                seconds = max(seconds, math.ceil((samples_needed(PERCENTILES[target.metric]) + 5) / (part * per_sec)))
    if seconds > _LONGEST_STEP_SEC:
        raise LoadTestError(
            f"At {per_sec:g} a second a step would take {seconds:.0f} s to know every percentile: begin with a higher "
            "--from, send more of one kind (--mix), or ask for a lower percentile."
        )
    settle = Phase("settle", _SETTLE_SEC, per_sec, measured=False)
    return Scenario(
        RATE, "the highest rate at which every target holds", (settle, Phase(RATE, seconds, per_sec)), spacing, False
    )


def _rounded(per_sec: float) -> float:
    return float(f"{per_sec:.3g}")
