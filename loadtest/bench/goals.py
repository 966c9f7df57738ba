"""The project's goals as ratios within one run, and whether a run met them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from loadtest.bench.contenders import OURS, OURS_FP32, PLAIN
from loadtest.bench.result import GoalVerdict, Overload, Result


@dataclass(frozen=True)
class Goal:
    """One goal: what was measured, what was wanted, and whether less or more is better."""

    name: str
    measured: float
    limit: float
    at_most: bool
    unit: str = "times"

    @property
    def met(self) -> bool:
        """Return whether the value is on the right side of the limit; NaN is on neither."""
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    @property
    def verdict(self) -> str:
        """Return "met" or "MISSED"."""
        return "met" if self.met else "MISSED"

    @property
    def condition(self) -> str:
        """Return what was wanted, such as ">= 3.3"."""
        return f"{'<=' if self.at_most else '>='} {self.limit:.3g}"

    def __str__(self) -> str:
        return f"{self.verdict:<6}  {self.name}: {self.measured_in_words()} (goal {self.condition})"

    def measured_in_words(self) -> str:
        """Return what was measured, in three digits, with its unit."""
        return f"{self.measured:.3g} {self.unit}".rstrip()


def check(result: Result) -> list[Goal]:
    """Return every goal with what a run measured; ratios are medians over its rounds."""
    rates, latencies, over = result["rates"], result["latencies_ms"], result["overload"]

    def rate_ratio(name: str, other: str) -> float:
        pairs = zip(rates[name]["small 16"], rates[other]["small 16"], strict=True)
        return float(statistics.median(a / b for a, b in pairs))

    def p50_ratio(case: str) -> float:
        pairs = zip(latencies[OURS][case], latencies[PLAIN][case], strict=True)
        return float(statistics.median(a[0] / b[0] for a, b in pairs))

    steady = statistics.median(p99 / p50 for p50, _, p99 in latencies[OURS]["small 16"])
    return [
        Goal("throughput, INT8, 16 clients, against the plain service", rate_ratio(OURS, PLAIN), 3.3, False),
        Goal("throughput, FP32, 16 clients, against the plain service", rate_ratio(OURS_FP32, PLAIN), 2.0, False),
        Goal("lone p50, INT8, against the plain service", p50_ratio("small 1"), 1 / 3, True),
        Goal("12-megapixel JPEG, lone p50, against the plain service", p50_ratio("large 1"), 1 / 4, True),
        Goal("HTTP throughput against the loop in one process", rate_ratio(OURS, "loop int8"), 0.95, False),
        Goal("p99 at 16 clients against p50", steady, 1.5, True),
        Goal("goodput at ten times the rated load against rated", over["goodput_to_rated"], 0.95, False),
        Goal("accepted p99 at ten times against the rated p99", over["accepted_p99_to_rated"], 1.5, True),
        Goal("refusals' p99 at ten times the rated load", over["refused_p99_ms"], 100, True, "ms"),
        Goal("slowest probe at ten times the rated load", over["probes_max_ms"], 100, True, "ms"),
        Goal("requests and workers lost at ten times the rated load", _lost(over), 0, True, ""),
        Goal("start to ready, INT8", result["start_sec"][OURS], 1.0, True, "s"),
        Goal("proportional memory, INT8", result["memory_mb"][OURS], 200, True, "MB"),
    ]


def verdicts(result: Result) -> list[GoalVerdict]:
    """Return every goal, what was measured and whether it was met, ready for JSON."""
    return [
        {"name": goal.name, "measured": goal.measured, "goal": goal.limit, "at_most": goal.at_most, "met": goal.met}
        for goal in check(result)
    ]


def _lost(over: Overload) -> int:
    """Count what was answered neither with labels nor with 429, and whether a process was replaced."""
    return int(sum(over["other"].values())) + (not over["workers_kept"])
