"""Locust's load shape for a session's plan: how many users of which class run when, and when it is over."""

from __future__ import annotations

import time

from locust import LoadTestShape
from locust.user import User

from loadtest.measure.environment import LoadEnvironment
from loadtest.measure.session import Session
from loadtest.measure.users import ANSWER_LIMIT_SEC, MOST_ATTEMPTS, ClosedUser, OpenUser

# Locust warns of more a second.
_SPAWN_PER_SEC = 100
# After the last arrival: its answer, and its attempts after refusals with a Retry-After of ten seconds.
_DRAIN_LIMIT_SEC = MOST_ATTEMPTS * (ANSWER_LIMIT_SEC + 10)


class PlanShape(LoadTestShape):
    """Follows the session's plan: one open-loop user for each process, or a phase's number of clients."""

    def __init__(self, session: Session) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Locust's
        self._session = session
        self.processes = 1

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """Return the number of users, how many to start a second, and their class; None when all is done."""
        scenario = self._session.scenario
        second = time.perf_counter() - self.start_time
        phase = scenario.phase_at(second)
        # Users end by themselves when their last answer is there.
        done = phase is None and (self.runner is None or not self.runner.user_count)
        if done or second > scenario.seconds + _DRAIN_LIMIT_SEC:
            return None
        if scenario.closed:
            clients = scenario.phases[-1 if phase is None else phase].clients
            return clients, min(clients, _SPAWN_PER_SEC), [ClosedUser]
        return self.processes, min(self.processes, _SPAWN_PER_SEC), [OpenUser]


def planned_environment(session: Session) -> tuple[LoadEnvironment, PlanShape]:
    """Return the environment of a session, with its users and the shape that it follows."""
    shape = PlanShape(session)
    return (
        LoadEnvironment(session, user_classes=[OpenUser, ClosedUser], shape_class=shape, stop_timeout=ANSWER_LIMIT_SEC),
        shape,
    )
