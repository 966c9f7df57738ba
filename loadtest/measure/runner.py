"""Carries out plans with Locust: how many users run when, and what came of it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
from locust import LoadTestShape
from locust.runners import LocalRunner, MasterRunner
from locust.user import User

from loadtest.measure.progress import Progress
from loadtest.measure.records import Records
from loadtest.measure.session import Plan, Session
from loadtest.measure.users import ANSWER_LIMIT_SEC, MOST_ATTEMPTS, ClosedUser, OpenUser, SessionEnvironment

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


def planned_environment(session: Session) -> tuple[SessionEnvironment, PlanShape]:
    """Return the environment of a session, with its users and the shape that it follows."""
    shape = PlanShape(session)
    return (
        SessionEnvironment(
            session, user_classes=[OpenUser, ClosedUser], shape_class=shape, stop_timeout=ANSWER_LIMIT_SEC
        ),
        shape,
    )


@dataclass
class Sent:
    """What came of a plan: every request, and the processor seconds that sending took, by process."""

    plan: Plan
    records: Records
    seconds: float
    cpu_sec: dict[str, float] = field(default_factory=dict)


class PlanRunner:
    """Carries out one plan after the other with one Locust runner."""

    def __init__(self, session: Session, progress: Progress) -> None:
        self.session = session
        self.progress = progress
        self.environment, self._shape = planned_environment(session)
        self.environment.events.test_start.add_listener(self._begin)
        self._interrupted = False
        self._main = gevent.getcurrent()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupt)

    def connect(self) -> None:
        """Create the runner.

        Raises:
            LoadTestError: it cannot be; see the subclass.
        """
        self.locust_runner: LocalRunner | MasterRunner = self.environment.create_local_runner()

    def prepare(self, plan: Plan) -> None:
        """Make `plan` the one that the next start carries out."""
        self.session.plan = plan

    def run(self, plan: Plan) -> Sent:
        """Carry out a plan and return what came of it.

        Raises:
            KeyboardInterrupt: someone said stop; what was measured is void.
        """
        self.prepare(plan)
        with self.progress.shown(self.session):
            self.locust_runner.start_shape()
            if self.locust_runner.shape_greenlet is not None:
                self.locust_runner.shape_greenlet.join()
        if self._interrupted:
            raise KeyboardInterrupt
        return self.finish()

    def finish(self) -> Sent:
        """Return what came of the plan that has just ended."""
        plan = self.session.plan
        assert plan is not None  # noqa: S101  # prepare() came first
        return Sent(plan, self.session.records, self.session.second(), {"this process": self.session.own_cpu_sec()})

    def close(self) -> None:
        """End everything that Locust started, at once."""
        self.environment.stop_timeout = 0.0
        with contextlib.suppress(AttributeError):  # connect() failed
            self.locust_runner.quit()

    def _interrupt(self, *_: object) -> None:
        # Locust's runner swallows a KeyboardInterrupt that finds it starting users, so the flag says it too; and gevent
        # prints a trace where one is raised in another greenlet than the main one, so it is thrown into that.
        self._interrupted = True
        if gevent.getcurrent() is self._main:
            raise KeyboardInterrupt
        gevent.kill(self._main, KeyboardInterrupt)

    def _begin(self, **_: Any) -> None:
        if self.session.plan is not None:
            self.session.begin(self.session.plan)


@contextlib.contextmanager
def connected(plan_runner: PlanRunner) -> Iterator[PlanRunner]:
    """Hold a connected plan runner for the duration of the block."""
    try:
        plan_runner.connect()
        yield plan_runner
    finally:
        plan_runner.close()
