"""The whole measurement: every contender started, all measured in turn, round by round, and the result put together."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.bench import decoding, overload, pictures
from loadtest.bench.ceilings import Ceiling
from loadtest.bench.clients import Samples, closed_loop
from loadtest.bench.contenders import OURS, Contender, contenders
from loadtest.bench.result import Case, Latencies, Rates, Refusals, Result
from loadtest.bench.servers import Server
from loadtest.measure import machine

Say = Callable[[str], None]


@dataclass(frozen=True)
class Schedule:
    """How long and how often everything is measured."""

    rounds: int = 3
    starts: int = 3
    clients: tuple[int, ...] = (1, 2, 4, 16, 64)
    round_sec: float = 1.5
    warm_up_sec: float = 0.7
    overload_sec: float = 20.0


@dataclass
class _Measured:
    """What the rounds brought so far."""

    rates: Rates = field(default_factory=dict)
    latencies_ms: Latencies = field(default_factory=dict)
    refused: Refusals = field(default_factory=dict)

    def add(self, name: str, case: Case, samples: Samples) -> None:
        """Note a round of a contender or a ceiling."""
        self.rates.setdefault(name, {}).setdefault(case, []).append(samples.rate())
        quantiles = [round(1000 * samples.quantile(q), 3) for q in (0.5, 0.95, 0.99)]
        self.latencies_ms.setdefault(name, {}).setdefault(case, []).append(quantiles)
        others = samples.count - len(samples.latencies.get(200, ()))
        self.refused.setdefault(name, {}).setdefault(case, []).append(others)


def run(
    bundle: Path,
    schedule: Schedule,
    say: Say,
    selected: Sequence[Contender] | None = None,
    photograph_size: tuple[int, int] = pictures.LARGE,
) -> Result:
    """Measure contenders with the networks of `bundle`.

    Args:
        bundle: with both precisions and TorchScript.
        schedule: how long and how often.
        say: takes a line for each step.
        selected: who is measured; all who can be started here where it is None.
        photograph_size: of the large JPEG, in pixels; what a run is compared by has 12 megapixels.
    """
    selected = contenders(bundle) if selected is None else selected
    where = machine.describe()
    sent = pictures.make(photograph_size)
    measured = _Measured()
    servers: list[Server] = []
    try:
        start_sec = start(selected, sent["small"], servers, say, schedule)
        models = {server.name: server.model() for server in servers}
        ceilings = [Ceiling(bundle, precision) for precision in ("int8", "fp32")]
        for number in range(schedule.rounds):
            say(
                f"Round {number + 1} of {schedule.rounds}: {len(servers)} servers, {len(schedule.clients)} numbers of "
                "clients, 3 pictures"
            )
            _round(measured, servers, ceilings, sent, schedule)
        memory_mb = {server.name: server.memory_mb() for server in servers}
        ours = next(server for server in servers if server.name == OURS)
        say(f"Overload: {OURS} at {overload.FACTOR} times its rated load")
        max_per_sec = statistics.median(measured.rates[OURS]["small 16"])
        overloaded = overload.measure(ours, sent["small"], max_per_sec, schedule.overload_sec)
    finally:
        for server in servers:
            server.stop()
    return {
        "machine": where,
        "packages": machine.packages(),
        "rounds": schedule.rounds,
        "clients": list(schedule.clients),
        "picture_bytes": {name: len(data) for name, data in sent.items()},
        "bundle": str(bundle),
        "colours": {contender.name: contender.colour for contender in selected},
        "start_sec": start_sec,
        "models": models,
        "rates": measured.rates,
        "latencies_ms": measured.latencies_ms,
        "refused": measured.refused,
        "memory_mb": memory_mb,
        "overload": overloaded,
        "decoding": decoding.compare(sent["large"], 3 * schedule.rounds),
    }


def start(
    selected: Sequence[Contender], picture: bytes, servers: list[Server], say: Say, schedule: Schedule
) -> dict[str, float]:
    """Start everyone several times, the last time for good and into `servers`; returns the median seconds by name.

    A peer that does not start is left out: its installation is not this project's.

    Raises:
        RuntimeError: one that needs nothing else does not start.
    """
    medians = {}
    for contender in selected:
        say(f"Starting {contender.name}, {schedule.starts} times")
        try:
            seconds = [_start(contender, picture, servers) for _ in range(schedule.starts)]
        except RuntimeError as error:
            if contender.needs is None:
                raise
            say(f"Left out: {error}")
            continue
        medians[contender.name] = statistics.median(seconds)
        _load(servers[-1], picture, 4, schedule.warm_up_sec)
    return medians


def _start(contender: Contender, picture: bytes, servers: list[Server]) -> float:
    """Start a contender, in `servers` instead of what ran before of it; returns the seconds until it was ready."""
    if servers and servers[-1].name == contender.name:
        servers.pop().stop()
    servers.append(Server(contender))
    try:
        return servers[-1].wait_until_ready(picture)
    except RuntimeError:
        servers.pop().stop()
        raise


def _round(
    measured: _Measured, servers: list[Server], ceilings: list[Ceiling], sent: dict[str, bytes], schedule: Schedule
) -> None:
    seconds = schedule.round_sec
    for clients in schedule.clients:
        for server in servers:
            measured.add(server.name, f"small {clients}", _load(server, sent["small"], clients, seconds))
    for name in ("large", "png"):
        for server in servers:
            measured.add(server.name, f"{name} 1", _load(server, sent[name], 1, seconds))
    for ceiling in ceilings:
        measured.add(f"loop {ceiling.precision}", "small 16", closed_loop(ceiling.loop(sent["small"]), seconds))
        measured.add(f"engine {ceiling.precision}", "small 16", closed_loop(ceiling.engine(), seconds))


def _load(server: Server, picture: bytes, clients: int, seconds: float) -> Samples:
    connections = server.connections(picture, clients)
    try:
        return closed_loop(connections, seconds)
    finally:
        for connection in connections:
            connection.close()
