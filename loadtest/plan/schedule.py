"""When requests are sent: the phases of a scenario, and the moments at which their arrivals are due.

Open loop is the default: requests arrive at their rate whatever the server does, as they do from people who know
nothing of one another. A closed loop, where each client waits for its answer before it sends again, slows down with the
server that it measures and so hides what waiting there was ("coordinated omission"); it answers how much a fixed number
of clients get out of it.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from loadtest.plan.mix import shuffled_blocks

Spacing = Literal["constant", "poisson"]


@dataclass(frozen=True)
class Phase:
    """A stretch of time at one rate (open loop) or with one number of clients (closed loop); the other is 0."""

    name: str
    seconds: float
    per_sec: float = 0.0
    clients: int = 0
    measured: bool = True

    @property
    def arrivals(self) -> int:
        """Return how many requests are due in an open loop."""
        return round(self.per_sec * self.seconds)


@dataclass(frozen=True)
class Scenario:
    """Phases in order, and how a client takes a refusal."""

    name: str
    purpose: str
    phases: tuple[Phase, ...]
    spacing: Spacing = "constant"
    # Send a refused request again when Retry-After is over. Off where the rate must stay what it is.
    retries: bool = True

    @property
    def closed(self) -> bool:
        """Return whether clients wait for their answers."""
        return any(phase.clients for phase in self.phases)

    @property
    def seconds(self) -> float:
        """Return how long sending takes, without the last answers."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def arrivals(self) -> int:
        """Return how many requests are due in an open loop."""
        return sum(phase.arrivals for phase in self.phases)

    def starts(self) -> list[float]:
        """Return the second at which each phase begins."""
        starts, now = [], 0.0
        for phase in self.phases:
            starts.append(now)
            now += phase.seconds
        return starts

    def phase_at(self, second: float) -> int | None:
        """Return the index of the phase at `second`, None when all is over."""
        end = 0.0
        for index, phase in enumerate(self.phases):
            end += phase.seconds
            if second < end:
                return index
        return None

    def until(self, second: float) -> Scenario:
        """Return what of it was over at `second`: phases that had begun, the last of them cut."""
        begun = zip(self.phases, self.starts(), strict=True)
        cut = (
            dataclasses.replace(phase, seconds=min(phase.seconds, round(second - start, 1) or 0.1))
            for phase, start in begun
            if start < second
        )
        return dataclasses.replace(self, phases=tuple(cut) or self.phases[:1])

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON and Locust's messages can carry."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Scenario:
        """Return the scenario that `to_dict()` described."""
        return cls(**{**document, "phases": tuple(Phase(**phase) for phase in document["phases"])})


@dataclass(frozen=True)
class Arrival:
    """One request of an open loop: its number, the second at which it is due, its phase."""

    number: int
    due_sec: float
    phase: int


def arrivals(scenario: Scenario, seed: int = 0) -> Iterator[Arrival]:
    """Yield every arrival in order, `Phase.arrivals` of them in each phase, evenly spaced or as a Poisson process.

    A Poisson process of which the number of events is known is that many independent uniform moments. They are drawn in
    order without storing them: the next of `left` moments in `[now, end]` leaves a share U^(1/left) of the rest.
    """
    rng = random.Random(seed)  # noqa: S311  # a schedule, not a secret
    number = 0
    for index, (phase, start) in enumerate(zip(scenario.phases, scenario.starts(), strict=True)):
        count, end = phase.arrivals, start + phase.seconds
        now = start
        for done in range(count):
            if scenario.spacing == "poisson":
                now = end - (end - now) * rng.random() ** (1 / (count - done))
            else:
                now = start + done * phase.seconds / count
            yield Arrival(number, now, index)
            number += 1


@dataclass(frozen=True)
class Plan:
    """A scenario with everything that decides what is sent, and one process's share of it.

    A master gives each worker a share: every n-th arrival of one schedule, so that together they send exactly what one
    process would.
    """

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
