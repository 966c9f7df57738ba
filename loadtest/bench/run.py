"""The whole measurement: every contender started, all measured in turn, round by round, and the result put together."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.bench import in_process, overload
from loadtest.bench.contenders import OURS, Contender
from loadtest.bench.goals import check
from loadtest.bench.result import FIGURES, Case, Measured, Result
from loadtest.bench.started import Running, Say, known, new_row, start
from loadtest.measure import machine
from loadtest.measure.answers import Outcome
from loadtest.measure.clients import TIMEOUT_SEC, Samples, closed_loop
from loadtest.plan import pictures
from loadtest.plan.mix import PHONE, PNG, SMALL

Pictures = Mapping[str, bytes]  # small, large, png
Ceilings = Mapping[str, in_process.Ceiling]  # by precision


@dataclass(frozen=True)
class Schedule:
    """How long and how often everything is measured."""

    rounds: int = 3
    starts: int = 3
    clients: tuple[int, ...] = (1, 2, 4, 16, 64)
    round_sec: float = 1.5
    warm_up_sec: float = 0.7
    overload_sec: float = 20.0


def run(
    bundle: Path, selected: Sequence[Contender], schedule: Schedule, say: Say, sent: Pictures | None = None
) -> Result:
    """Measure contenders, and the networks of `bundle` (both precisions and TorchScript) without HTTP.

    Raises:
        LoadTestError: one that needs nothing else does not start.
        ServiceError: the bundle cannot be used.
    """
    where, sent = machine.describe(), sent or make_pictures()
    started: list[Running] = []
    try:
        measured = start(selected, sent["small"], started, say, schedule.starts, schedule.warm_up_sec)
        ceilings = {precision: in_process.Ceiling(bundle, precision) for precision in ("int8", "fp32")}
        for name in ("loop int8", "engine int8", "loop fp32", "engine fp32"):
            measured[name] = new_row("#0b57d0")
        for number in range(schedule.rounds):
            say(f"Round {number + 1} of {schedule.rounds}: {len(started)} servers, {len(schedule.clients)} loads")
            _round(measured, started, ceilings, sent, schedule)
        for item in started:
            measured[item.contender.name]["memory_mb"] = known(item.server.memory_mb())
        ours = next(item for item in started if item.contender.name == OURS)
        say(f"Overload: {OURS} at {overload.FACTOR} times its rated load")
        rated_per_sec = overload.RATED_SHARE * statistics.median(measured[OURS]["cases"]["small 16"]["per_sec"])
        over = overload.measure(ours, sent["small"], rated_per_sec, schedule.overload_sec)
    finally:
        for item in started:
            item.server.stop()
    result: Result = {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": where,
        "packages": machine.packages(),
        "bundle": str(bundle),
        "rounds": schedule.rounds,
        "clients": list(schedule.clients),
        "picture_bytes": {name: len(data) for name, data in sent.items()},
        "measured": measured,
        "overload": over,
        "decoding": in_process.decoding(sent["large"], 3 * schedule.rounds),
        "goals": [],
    }
    result["goals"] = [verdict.to_dict() for verdict in check(result)]
    return result


def make_pictures() -> dict[str, bytes]:
    """Return one picture of each sort that the load test sends."""
    stock = pictures.generate({PHONE, PNG})
    return {name: stock[kind][0].data for name, kind in (("small", SMALL), ("large", PHONE), ("png", PNG))}


def _round(
    measured: dict[str, Measured], started: Sequence[Running], ceilings: Ceilings, sent: Pictures, schedule: Schedule
) -> None:
    for picture, clients in [*(("small", clients) for clients in schedule.clients), ("large", 1), ("png", 1)]:
        for item in started:
            samples = item.load(sent[picture], clients, schedule.round_sec)
            _add(measured[item.contender.name], f"{picture} {clients}", samples)
    for precision, ceiling in ceilings.items():
        for name, calls in (("loop", ceiling.loop(sent["small"])), ("engine", ceiling.engine())):
            _add(measured[f"{name} {precision}"], "small 16", closed_loop(calls, schedule.round_sec))


def _add(row: Measured, case: Case, samples: Samples) -> None:
    """Note a round; one without a good answer counts as all the time that a client would have waited."""
    times = [round(known(samples.quantile_ms(q)) or 1000 * TIMEOUT_SEC, 3) for q in (0.5, 0.95, 0.99)]
    figures = (samples.rate(), *times, len(samples.sent) - len(samples.of(Outcome.GOOD)))
    for name, value in zip(FIGURES, figures, strict=True):
        row["cases"].setdefault(case, {}).setdefault(name, []).append(value)
