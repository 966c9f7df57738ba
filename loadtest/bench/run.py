"""The whole measurement: every contender started, all measured in turn, round by round, and the figures by name."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.bench import decoding, overload, pictures
from loadtest.bench.ceilings import Ceiling
from loadtest.bench.clients import Outcome, closed_loop
from loadtest.bench.contenders import OURS, Contender, contenders
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


def run(bundle: Path, schedule: Schedule, say: Say, those: Sequence[Contender] | None = None) -> dict[str, Any]:
    """Measure contenders with the networks of `bundle`.

    Args:
        bundle: with both precisions and TorchScript.
        schedule: how long and how often.
        say: takes a line for each step.
        those: who is measured; all who can be started here where it is None.

    Returns:
        Everything that was measured, ready for JSON.
    """
    those = contenders(bundle) if those is None else those
    sent = pictures.make()
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "packages": machine.packages(),
        "rounds": schedule.rounds,
        "clients": list(schedule.clients),
        "picture_bytes": {name: len(data) for name, data in sent.items()},
        "bundle": str(bundle),
        "colours": {contender.name: contender.colour for contender in those},
    }
    servers: list[Server] = []
    try:
        result["start_sec"] = start(those, sent["small"], servers, say, schedule)
        result["models"] = {server.name: server.model() for server in servers}
        ceilings = [Ceiling(bundle, precision) for precision in ("int8", "fp32")]
        result["rates"], result["latencies_ms"], result["refused"] = {}, {}, {}
        for number in range(schedule.rounds):
            say(
                f"Round {number + 1} of {schedule.rounds}: {len(servers)} servers, {len(schedule.clients)} numbers of "
                "clients, 3 pictures"
            )
            _round(result, servers, ceilings, sent, schedule)
        result["memory_mb"] = {server.name: server.memory_mb() for server in servers}
        ours = next(server for server in servers if server.name == OURS)
        say(f"Overload: {OURS} at {overload.FACTOR} times its rated load")
        most = statistics.median(result["rates"][OURS]["small 16"])
        result["overload"] = overload.measure(ours, sent["small"], most, schedule.overload_sec)
    finally:
        for server in servers:
            server.stop()
    result["decoding"] = decoding.compare(sent["large"], 3 * schedule.rounds)
    return result


def start(
    those: Sequence[Contender], picture: bytes, servers: list[Server], say: Say, schedule: Schedule
) -> dict[str, float]:
    """Start everyone several times, the last time for good and into `servers`; returns the median seconds by name.

    A peer that does not start is left out: its installation is not this project's.

    Raises:
        RuntimeError: one that needs nothing else does not start.
    """
    medians = {}
    for contender in those:
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
    result: dict[str, Any], servers: list[Server], ceilings: list[Ceiling], sent: dict[str, bytes], schedule: Schedule
) -> None:
    seconds = schedule.round_sec
    for clients in schedule.clients:
        for server in servers:
            _record(result, server.name, f"small {clients}", _load(server, sent["small"], clients, seconds))
    for name in ("large", "png"):
        for server in servers:
            _record(result, server.name, f"{name} 1", _load(server, sent[name], 1, seconds))
    for ceiling in ceilings:
        _record(result, f"loop {ceiling.precision}", "small 16", closed_loop(ceiling.loop(sent["small"]), seconds))
        _record(result, f"engine {ceiling.precision}", "small 16", closed_loop(ceiling.engine(), seconds))


def _load(server: Server, picture: bytes, clients: int, seconds: float) -> Outcome:
    connections = server.connections(picture, clients)
    try:
        return closed_loop(connections, seconds)
    finally:
        for connection in connections:
            connection.close()


def _record(result: dict[str, Any], name: str, case: str, outcome: Outcome) -> None:
    result["rates"].setdefault(name, {}).setdefault(case, []).append(outcome.rate())
    quantiles = [round(1000 * outcome.quantile(q), 3) for q in (0.5, 0.95, 0.99)]
    result["latencies_ms"].setdefault(name, {}).setdefault(case, []).append(quantiles)
    others = outcome.count - len(outcome.latencies.get(200, ()))
    result["refused"].setdefault(name, {}).setdefault(case, []).append(others)
