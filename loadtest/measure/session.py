"""What one process of a load test shares among its Locust users: the plan, the clock, the pictures, the record."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from loadtest.measure.endpoint import Endpoint
from loadtest.measure.records import Records
from loadtest.plan.bodies import Bodies
from loadtest.plan.mix import shuffled_blocks
from loadtest.plan.schedule import Arrival, Plan

_ATTRIBUTE = "loadtest_session"


def _nothing() -> None:
    pass


@dataclass
class Session:
    """One process's state in a load test."""

    endpoint: Endpoint | None = None  # known from the start, or when Locust's page says it
    bodies: Bodies | None = None  # a master sends none
    plan: Plan | None = None
    prepare: Callable[[], None] = _nothing  # called before each start: the page may have changed the options
    shaped: bool = True  # the plan is followed; not where a person's file has another shape, or none
    records: Records = field(default_factory=Records)
    began: float = 0.0  # 0 before the first start
    connections: Any = None  # what Locust's users keep open, together
    late_ms: array[float] = field(default_factory=lambda: array("d"))  # how late this process did what was due
    cpu_sec: dict[str, float] = field(default_factory=dict)  # of other processes, by name
    _schedule: Iterator[tuple[Arrival, str]] | None = None
    _request_kinds: Iterator[str] = field(default_factory=lambda: iter(()))
    _cpu_began: float = 0.0

    def begin(self, plan: Plan) -> None:
        """Start the clock for a plan, with an empty record."""
        self.plan, self.records, self.late_ms, self.cpu_sec = plan, Records(), array("d"), {}
        self._request_kinds = shuffled_blocks(plan.mix, plan.seed + plan.share)
        self._schedule = plan.schedule() if self.shaped and not plan.scenario.closed else None
        self._cpu_began = time.process_time()
        self.began = time.perf_counter()

    def next(self) -> tuple[float, int, str] | None:
        """Return when (on `time.perf_counter()`'s clock), in which phase and of which kind to send; None for no more.

        Nothing is given out twice. In an open loop the next arrival, which may be due long before or after now; in a
        closed one, now.
        """
        if self._schedule is not None:
            arrival, request_kind = next(self._schedule, (None, ""))
            return None if arrival is None else (self.began + arrival.due_sec, arrival.phase, request_kind)
        scenario = self.plan.scenario if self.plan else None
        phase = scenario.phase_at(self.second()) if scenario and self.shaped else 0
        return None if phase is None else (time.perf_counter(), phase, self.next_kind())

    def next_kind(self) -> str:
        """Return the next request kind of the mix, for whoever sends without a schedule."""
        return next(self._request_kinds)

    def second(self) -> float:
        """Return the seconds since the plan began."""
        return time.perf_counter() - self.began if self.began else 0.0

    def own_cpu_sec(self) -> float:
        """Return the processor time that this process used since the plan began."""
        return time.process_time() - self._cpu_began

    def take(self, name: str) -> dict[str, Any]:
        """Return what a worker reports under its name, and forget its records."""
        late, self.late_ms = self.late_ms, array("d")
        cpu_sec = {name: self.own_cpu_sec()} if self.began else {}
        return {"records": self.records.take(), "late_ms": late.tobytes(), "cpu_sec": cpu_sec}

    def merge(self, packed: dict[str, Any]) -> None:
        """Add what a worker took."""
        self.records.merge(packed["records"])
        self.late_ms.frombytes(packed["late_ms"])
        self.cpu_sec.update(packed["cpu_sec"])


def attach(environment: Any, session: Session) -> None:
    """Put a session where Locust's users and shapes find it."""
    setattr(environment, _ATTRIBUTE, session)


def session_of(environment: Any) -> Session:
    """Return the session of a Locust environment."""
    session: Session = getattr(environment, _ATTRIBUTE)
    return session
