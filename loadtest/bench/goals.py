"""The project's goals, a row each, as ratios within one run where they can be; and whether a run met them."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable
from typing import Literal

from loadtest.bench.contenders import LITE0, OURS, OURS_FP32, PLAIN
from loadtest.bench.result import Case, Result
from loadtest.measure.verdicts import Goal, Verdict

LOOP = "loop int8"
RATE, LONE = ("small 16", "per_sec"), ("small 1", "p50_ms")
_Figure = Callable[[Result], float | None]


def _ratio(name: str, other: str, case: Case, figure: str) -> _Figure:
    """Return the median of the rounds' ratios: a machine that is slow for a round is slow for both sides of it."""

    def ratio(result: Result) -> float:
        rounds = (result["measured"][side]["cases"][case][figure] for side in (name, other))
        return float(statistics.median(map(operator.truediv, *rounds)))

    return ratio


def _of(name: str, key: Literal["start_sec", "memory_mb"]) -> _Figure:
    return lambda result: result["measured"][name][key]


def _overload(key: Literal["goodput_to_rated", "refused_p99_ms", "probes_max_ms"]) -> _Figure:
    return lambda result: result["overload"][key]


def _spread(result: Result) -> float:
    case = result["measured"][OURS]["cases"]["small 16"]
    return float(statistics.median(map(operator.truediv, case["p99_ms"], case["p50_ms"])))


def _accepted(result: Result) -> float | None:
    accepted, rated = result["overload"]["accepted_p99_ms"], result["overload"]["rated_p99_ms"]
    return accepted / rated if accepted and rated else None


def _lost(result: Result) -> int:
    """Count what was answered neither with labels nor with 429, and whether a process was replaced."""
    return sum(result["overload"]["lost"].values()) + (not result["overload"]["workers_kept"])


GOALS: list[tuple[str, str, float, str, _Figure]] = [
    ("throughput, INT8, 16 clients, against the plain service", ">=", 3.3, "times", _ratio(OURS, PLAIN, *RATE)),
    ("throughput, FP32, 16 clients, against the plain service", ">=", 2.0, "times", _ratio(OURS_FP32, PLAIN, *RATE)),
    ("lone p50, INT8, against the plain service", "<=", 0.333, "times", _ratio(OURS, PLAIN, *LONE)),
    ("12-megapixel JPEG, lone p50, against the plain service", "<=", 0.25, "times",
     _ratio(OURS, PLAIN, "large 1", "p50_ms")),
    ("HTTP throughput against the loop in one process", ">=", 0.95, "times", _ratio(OURS, LOOP, *RATE)),
    ("p99 at 16 clients against p50", "<=", 1.5, "times", _spread),
    ("goodput at ten times the rated load against rated", ">=", 0.95, "times", _overload("goodput_to_rated")),
    ("accepted p99 at ten times against the rated p99", "<=", 1.5, "times", _accepted),
    ("refusals' p99 at ten times the rated load", "<=", 100, "ms", _overload("refused_p99_ms")),
    ("slowest probe at ten times the rated load", "<=", 100, "ms", _overload("probes_max_ms")),
    ("requests and workers lost at ten times the rated load", "<=", 0, "", _lost),
    ("start to ready, INT8", "<=", 1.0, "s", _of(OURS, "start_sec")),
    ("proportional memory, INT8", "<=", 200, "MB", _of(OURS, "memory_mb")),
    ("throughput, lite0 INT8, 16 clients, against ResNet-18's INT8", ">=", 1.6, "times", _ratio(LITE0, OURS, *RATE)),
    ("lone p50, lite0 INT8, against ResNet-18's INT8", "<=", 0.7, "times", _ratio(LITE0, OURS, *LONE)),
    ("start to ready, lite0 INT8", "<=", 1.0, "s", _of(LITE0, "start_sec")),
    ("proportional memory, lite0 INT8", "<=", 200, "MB", _of(LITE0, "memory_mb")),
]  # fmt: skip


def check(result: Result) -> list[Verdict]:
    """Return a verdict on every goal; figures are rounded to three digits first, so what is printed is what counts."""
    return [_verdict(Goal(name, sign, limit, unit), figure, result) for name, sign, limit, unit, figure in GOALS]


def _verdict(goal: Goal, figure: _Figure, result: Result) -> Verdict:
    try:
        measured = figure(result)
    except KeyError as missing:
        return Verdict(goal, None, f"{missing.args[0]} was not measured")
    except ZeroDivisionError:
        return Verdict(goal, None, "no request was answered well")
    if measured is None or not math.isfinite(measured):
        return Verdict(goal, None, "not known")
    return Verdict(goal, float(f"{measured:.3g}"))
