"""A run as a document: what was asked, of whom, what came of it, and the verdicts.

The reports are drawn from this and the records, and two such documents can be compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from loadtest.judge import metrics
from loadtest.judge.document import ConditionsDocument, RunDocument, VerdictDocument
from loadtest.judge.metrics import Metrics
from loadtest.judge.targets import LATE_GENERATOR, Target, Verdict, check
from loadtest.measure import percentiles
from loadtest.measure.answers import Outcome
from loadtest.measure.machine import Machine
from loadtest.measure.records import Records
from loadtest.plan.mix import main_request_kind
from loadtest.plan.schedule import Plan, Scenario

FORMAT = 1
# A window of the time line has at least so many requests, or its percentiles are the noise of a few.
_WINDOW_REQUESTS = 30
_MOST_WINDOWS = 60
# From here on the generator's own delay is as long as a small picture's answer, or it has no processor time left.
_LATE_MS, _BUSY_SHARE = 20.0, 0.9


@dataclass(frozen=True)
class Conditions:
    """What a run was made under, each part ready for JSON."""

    when: str
    host: str
    local: bool
    service: dict[str, Any]  # what /version says
    process: dict[str, float]  # processor seconds and bytes of the service, where it runs here
    machine: Machine  # this machine
    generator: dict[str, Any]
    pictures: dict[str, Any]
    target_file: str


@dataclass(frozen=True)
class Run:
    """A run's document and its records: what reports are drawn from."""

    result: RunDocument
    records: Records


def build(
    plan: Plan,
    records: Records,
    seconds: float,
    targets: list[Target],
    conditions: Conditions,
    interrupted: bool = False,
) -> Run:
    """Hold a run against its targets and return everything about it; one that was interrupted meets nothing."""
    scenario = plan.scenario
    others = [name for name in records.request_kinds if name not in plan.mix and records.of_kind(name).any()]
    steps = [metrics.compute(records, scenario, n) for n, phase in enumerate(scenario.phases) if phase.measured]
    knee = metrics.knee(steps) if scenario.name == "steps" else None
    knee_per_sec = steps[knee].goodput_per_sec if knee is not None else None
    verdicts = judge(records, scenario, targets, knee_per_sec, generator_was_late(conditions.generator))
    result: RunDocument = {
        "format": FORMAT,
        "met": not interrupted and all(verdict.met for verdict in verdicts),
        "only_late": not interrupted and only_late(verdicts),
        "interrupted": interrupted,
        "verdicts": [verdict_document(verdict) for verdict in verdicts],
        "scenario": scenario.to_dict(),
        "mix": dict(plan.mix),
        "main_kind": main_request_kind(plan.mix),
        "seconds": round(seconds, 1),
        "conditions": cast(ConditionsDocument, dataclasses.asdict(conditions)),
        "figures": {
            "all": dataclasses.asdict(metrics.compute(records, scenario)),
            "kinds": {
                request_kind: dataclasses.asdict(metrics.compute(records, scenario, request_kind=request_kind))
                for request_kind in [*plan.mix, *others]
            },
            "phases": [
                {
                    **dataclasses.asdict(phase),
                    "all": dataclasses.asdict(metrics.compute(records, scenario, n)),
                    "main": dataclasses.asdict(metrics.compute(records, scenario, n, main_request_kind(plan.mix))),
                }
                for n, phase in enumerate(scenario.phases)
                if phase.measured
            ],
        },
        "knee": knee,
        "curves": {
            request_kind: metrics.curve(metrics.latencies_ms(records, scenario, request_kind=request_kind))
            for request_kind in plan.mix
        },
        "timeline": timeline(records, scenario, main_request_kind(plan.mix)),
        "errors": metrics.errors(records, scenario),
        "lag_ms": spread(records.column("lag_us") / 1000),
    }
    return Run(result, records)


def judge(
    records: Records,
    scenario: Scenario,
    targets: list[Target],
    knee_per_sec: float | None = None,
    late_generator: bool = False,
) -> list[Verdict]:
    """Hold records against targets; a time that a late generator may have made too long is not called the service's."""
    numbers = {phase.name: n for n, phase in enumerate(scenario.phases)}

    def look(phase: str | None, request_kind: str | None) -> Metrics:
        return metrics.compute(records, scenario, numbers[phase] if phase else None, request_kind)

    verdicts = check(targets, look, knee_per_sec)
    return [
        replace(verdict, why=LATE_GENERATOR) if late_generator and verdict.late else verdict for verdict in verdicts
    ]


def generator_was_late(generator: Mapping[str, Any]) -> bool:
    """Return whether the load generator may have been what took so long."""
    busiest = max(generator["cpu_share"].values(), default=0.0)
    return busiest > _BUSY_SHARE or generator.get("late_ms", {}).get("p95", 0.0) > _LATE_MS


def only_late(verdicts: list[Verdict]) -> bool:
    """Return whether something is missed, and nothing but times: all that was asked was answered as it should be.

    How long answers take depends on the network and the machine that asks, too; what they are does not.
    """
    missed = [verdict for verdict in verdicts if not verdict.met]
    return bool(missed) and all(verdict.late for verdict in missed)


def verdict_document(verdict: Verdict) -> VerdictDocument:
    """Return a verdict as JSON has it; `text` is the sentence that people read."""
    return {
        "metric": verdict.target.metric,
        "operator": verdict.target.operator,
        "limit": verdict.target.limit,
        "phase": verdict.target.phase,
        "kind": verdict.target.request_kind,
        "name": verdict.target.name,
        "condition": verdict.target.condition,
        "measured": verdict.measured,
        "met": verdict.met,
        "why": verdict.why,
        "text": str(verdict),
    }


def timeline(records: Records, scenario: Scenario, request_kind: str) -> list[dict[str, Any]]:
    """Return windows of equal length: answers of every outcome, and percentiles of one request kind."""
    due = records.column("due_sec")
    end = max(scenario.seconds, float(due.max()) if len(due) else 0.0)
    count = int(min(_MOST_WINDOWS, max(1, len(due) // _WINDOW_REQUESTS)))
    numbers = np.minimum((due / end * count).astype(int), count - 1) if end else np.zeros(len(due), dtype=int)
    outcomes, latency_ms = records.column("outcome"), records.column("latency_us") / 1000
    good = (outcomes == Outcome.GOOD) & records.of_kind(request_kind)
    windows = []
    for number in range(count):
        inside = numbers == number
        ordered = np.sort(latency_ms[inside & good])
        windows.append(
            {
                "begin_sec": round(number * end / count, 2),
                "end_sec": round((number + 1) * end / count, 2),
                **{o.name.lower(): int((outcomes[inside] == o).sum()) for o in Outcome},
                **{
                    name: round(percentiles.percentile(ordered, q), 1) if len(ordered) else None
                    for name, q in metrics.PERCENTILES.items()
                },
            }
        )
    return windows


def spread(values: npt.ArrayLike) -> dict[str, float]:
    """Return how values in milliseconds are spread; {} of none."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    quantiles = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(percentiles.percentile(ordered, q), 1) for name, q in quantiles.items()} if len(ordered) else {}
