"""Contenders as running servers: started several times, for good at last; what someone else's needs is not ours."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from loadtest.bench.contenders import Contender
from loadtest.bench.result import Measured
from loadtest.errors import LoadTestError
from loadtest.measure.clients import Connection, Samples, closed_loop, request_bytes
from loadtest.measure.servers import Server

Say = Callable[[str], None]


class Running:
    """A contender that was started."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.server = Server(contender.name, contender.command, contender.environment)

    def wait_until_ready(self, picture: bytes) -> float:
        """Return the seconds from start to ready; raises LoadTestError where it does not start."""
        path, [connection] = self.contender.ready_path, self.connections(picture, 1)
        try:
            return self.server.wait_until(lambda: (self.server.get(path)[0] if path else connection()) == 200)
        finally:
            connection.close()

    def request(self, picture: bytes) -> bytes:
        """Return a request with a picture as this contender takes it."""
        return request_bytes(picture, self.contender.as_json, self.contender.path)

    def connections(self, picture: bytes, count: int) -> list[Connection]:
        """Return clients that each send a picture over a connection of their own."""
        return [Connection(self.server.port, self.request(picture)) for _ in range(count)]

    def load(self, picture: bytes, clients: int, seconds: float) -> Samples:
        """Return what clients get who wait for their answers."""
        connections = self.connections(picture, clients)
        try:
            return closed_loop(connections, seconds)
        finally:
            for connection in connections:
                connection.close()

    def measured(self, start_sec: float) -> Measured:
        """Return its row of the result, with no rounds yet."""
        status, body = self.server.get("/version")
        return new_row(self.contender.colour, start_sec, json.loads(body)["model"] if status == 200 else None)


def start(
    selected: Sequence[Contender], picture: bytes, started: list[Running], say: Say, times: int, warm_up_sec: float
) -> dict[str, Measured]:
    """Start everyone several times, the last time for good and into `started`; returns the rows, by name.

    Someone else's that does not start is left out: its installation is not this project's.

    Raises:
        LoadTestError: one that needs nothing else does not start.
    """
    rows = {}
    for contender in selected:
        say(f"Starting {contender.name}, {times} times")
        seconds: list[float] = []
        try:
            for left in reversed(range(times)):
                started.append(Running(contender))
                seconds.append(started[-1].wait_until_ready(picture))
                if left:
                    started.pop().server.stop()
        except LoadTestError as error:
            started.pop().server.stop()
            if contender.needs is None:
                raise
            say(f"Left out: {error}")
            continue
        started[-1].load(picture, 4, warm_up_sec)
        rows[contender.name] = started[-1].measured(statistics.median(seconds))
    return rows


def new_row(colour: str, start_sec: float | None = None, model: dict[str, Any] | None = None) -> Measured:
    """Return a row of the result, with no rounds yet."""
    return {"colour": colour, "start_sec": start_sec, "memory_mb": None, "model": model, "cases": {}}


def known(value: float) -> float | None:
    """Return a figure as the result has it: None where it is not known."""
    return value if math.isfinite(value) else None
