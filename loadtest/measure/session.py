"""What one process of a load test shares among its Locust users: the plan, the clock, the pictures, the record.

A plan is what a master sends to its workers; each takes every n-th arrival of the same schedule, so that together they
send exactly what one process would.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtest.measure.endpoint import Endpoint
from loadtest.measure.records import Records
from loadtest.plan.bodies import Bodies
from loadtest.plan.mix import shuffled_blocks
from loadtest.plan.schedule import Arrival, Scenario, arrivals


@dataclass(frozen=True)
class Plan:
    """A scenario with everything that decides what is sent, and this process's share of it."""

    scenario: Scenario
    mix: Mapping[str, int]
    seed: int = 0
    share: int = 0  # which worker this is
    shares: int = 1  # of how many

    def of(self, share: int, shares: int) -> Plan:
        """Return one worker's part."""
        return dataclasses.replace(self, share=share, shares=shares)

    def schedule(self) -> Iterator[tuple[Arrival, str]]:
        """Yield this share's arrivals, each with its request kind."""
        everything = zip(arrivals(self.scenario, self.seed), shuffled_blocks(self.mix, self.seed), strict=False)
        return itertools.islice(everything, self.share, None, self.shares)

    def to_dict(self) -> dict[str, Any]:
        """Return what Locust's messages can carry."""
        return {**dataclasses.asdict(self), "mix": dict(self.mix), "scenario": self.scenario.to_dict()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Plan:
        """Return the plan that `to_dict()` described."""
        return cls(**{**document, "scenario": Scenario.from_dict(document["scenario"])})


@dataclass
class Session:
    """One process's state in a load test."""

    endpoint: Endpoint
    bodies: Bodies
    plan: Plan | None = None
    records: Records = field(default_factory=Records)
    began: float = 0.0
    request_kinds: Iterator[str] = field(default_factory=lambda: iter(()))
    _cpu_began: float = 0.0
    _schedule: Iterator[tuple[Arrival, str]] | None = None

    def begin(self, plan: Plan) -> None:
        """Start the clock for a plan, with an empty record."""
        self.plan, self.records = plan, Records()
        self.request_kinds = shuffled_blocks(plan.mix, plan.seed + plan.share)
        self._schedule = None if plan.scenario.closed else plan.schedule()
        self._cpu_began = time.process_time()
        self.began = time.perf_counter()

    @property
    def scenario(self) -> Scenario:
        """Return the scenario of the plan that is being carried out."""
        if self.plan is None:
            raise RuntimeError("no plan was begun")
        return self.plan.scenario

    def take_schedule(self) -> Iterator[tuple[Arrival, str]] | None:
        """Return the plan's arrivals the first time, None afterwards: nothing may be sent twice.

        Where a worker is lost, Locust starts its user on another one, which has a schedule of its own already.
        """
        schedule, self._schedule = self._schedule, None
        return schedule

    def second(self) -> float:
        """Return the seconds since the plan began."""
        return time.perf_counter() - self.began

    def own_cpu_sec(self) -> float:
        """Return the processor time that this process used since the plan began."""
        return time.process_time() - self._cpu_began
