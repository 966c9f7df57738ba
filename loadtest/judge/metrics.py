"""Records become metrics: percentiles, ratios, goodput, the knee. Pure functions of the records.

A metric is rounded once, here, to the digits that are printed everywhere: what is printed is what is tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtest.judge.document import ErrorDocument
from loadtest.measure.answers import Outcome
from loadtest.measure.percentiles import interval, percentile
from loadtest.measure.records import Records
from loadtest.plan.mix import BAD
from loadtest.plan.schedule import Scenario

PERCENTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}
_CURVE = tuple(range(101))  # percentiles that are kept to draw the distribution of a saved run

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Metrics:
    """What came of some requests. Percentiles are of pictures that were classified, whatever the others took."""

    seconds: float
    offered: int  # requests that arrived; in a closed loop, that were sent for the first time
    sent: int  # the offered ones and those that came back after a refusal
    good: int
    refused: int
    failed: int
    samples: int  # classified, which makes the percentiles
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float | None
    max_ms: float | None
    intervals_ms: dict[str, tuple[float, float] | None]
    error_ratio: float | None
    refused_ratio: float | None
    goodput_ratio: float | None  # good answers to offered requests
    goodput_per_sec: float | None

    def value(self, metric: str) -> float | None:
        """Return the metric that a target names; None where nothing was sent."""
        value: float | None = getattr(self, metric)
        return value


def compute(records: Records, scenario: Scenario, phase: int | None = None, request_kind: str | None = None) -> Metrics:
    """Return the metrics of a phase (of all measured ones) and of a request kind (of all)."""
    chosen = _chosen(records, scenario, phase, request_kind)
    outcomes = records.column("outcome")[chosen]
    sent, offered = int(chosen.sum()), int((records.column("attempt")[chosen] == 1).sum())
    good, refused, failed = (int((outcomes == outcome).sum()) for outcome in Outcome)
    seconds = (
        scenario.phases[phase].seconds
        if phase is not None
        else sum(item.seconds for item in scenario.phases if item.measured)
    )
    ordered = latencies_ms(records, scenario, phase, request_kind)
    some = len(ordered) > 0
    return Metrics(
        seconds=seconds,
        offered=offered,
        sent=sent,
        good=good,
        refused=refused,
        failed=failed,
        samples=len(ordered),
        **{name: round(percentile(ordered, q), 1) if some else None for name, q in PERCENTILES.items()},
        mean_ms=round(float(ordered.mean()), 1) if some else None,
        max_ms=round(float(ordered[-1]), 1) if some else None,
        intervals_ms={name: _rounded(interval(ordered, q)) for name, q in PERCENTILES.items()},
        error_ratio=_ratio(failed, sent, math.ceil),
        refused_ratio=_ratio(refused, sent, math.ceil),
        goodput_ratio=_ratio(good, offered, math.floor),
        goodput_per_sec=round(good / seconds, 1) if sent else None,
    )


def latencies_ms(
    records: Records, scenario: Scenario, phase: int | None = None, request_kind: str | None = None
) -> npt.NDArray[np.float64]:
    """Return the latencies of classified pictures, ascending: of one request kind, or of all but the bad files."""
    wanted = _chosen(records, scenario, phase, request_kind) & (records.column("outcome") == Outcome.GOOD)
    if request_kind is None:
        wanted &= ~records.of_kind(BAD)
    latencies: npt.NDArray[np.float64] = np.sort(records.column("latency_us")[wanted] / 1000.0)
    return latencies


def curve(ordered: npt.NDArray[np.float64]) -> list[float]:
    """Return the 0th to 100th percentile, for the comparison of saved runs."""
    return [round(percentile(ordered, q / 100), 2) for q in _CURVE] if len(ordered) else []


def _chosen(records: Records, scenario: Scenario, phase: int | None, request_kind: str | None) -> Mask:
    phases = records.column("phase")
    if phase is None:
        chosen: Mask = np.isin(phases, [n for n, item in enumerate(scenario.phases) if item.measured])
    else:
        chosen = phases == phase
    return chosen if request_kind is None else chosen & records.of_kind(request_kind)


def _ratio(part: int, whole: int, rounded: Callable[[float], int]) -> float | None:
    """Return a ratio in hundredths of a percent, rounded to the bad side: one failure in a million is not none."""
    return rounded(10_000 * part / whole) / 10_000 if whole else None


def _rounded(limits: tuple[float, float] | None) -> tuple[float, float] | None:
    return (round(limits[0], 1), round(limits[1], 1)) if limits else None


def knee(steps: Sequence[Metrics]) -> int | None:
    """Return the index of the step with the highest power, goodput / mean latency; None with fewer than three steps.

    Power is highest at the knee: below it throughput grows faster than latency, above it latency grows faster
    (Kleinrock 1979, "Power and deterministic rules of thumb for probabilistic problems in computer communications").
    """
    powers = [(step.goodput_per_sec or 0.0) / step.mean_ms if step.mean_ms else 0.0 for step in steps]
    if len(steps) < 3 or not any(powers):
        return None
    return max(range(len(powers)), key=powers.__getitem__)


def errors(records: Records, scenario: Scenario) -> list[ErrorDocument]:
    """Return refusals and failures by reason, the most frequent first; of all phases, the warm-up too."""
    reasons, outcomes, due = records.column("reason"), records.column("outcome"), records.column("due_sec")
    request_kinds, phases = records.column("request_kind"), records.column("phase")
    entries: list[ErrorDocument] = []
    for number, reason in enumerate(records.reasons):
        for outcome in (Outcome.REFUSED, Outcome.FAILED):
            chosen = (reasons == number) & (outcomes == outcome)
            if chosen.any():
                entries.append(
                    {
                        "outcome": outcome.name.lower(),
                        "reason": reason,
                        "count": int(chosen.sum()),
                        "first_sec": round(float(due[chosen].min()), 1),
                        "kinds": [records.request_kinds[n] for n in np.unique(request_kinds[chosen])],
                        "phases": [scenario.phases[n].name for n in np.unique(phases[chosen])],
                        "detail": records.details.get(reason, ""),
                    }
                )
    return sorted(entries, key=lambda item: (-item["count"], item["reason"]))
