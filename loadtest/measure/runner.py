"""Carries out plans with Locust: in this process, or as the master of workers that were started elsewhere."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import Event
from locust.rpc import Message
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner

from loadtest.errors import LoadTestError
from loadtest.measure.answers import Judgement, Outcome
from loadtest.measure.progress import Progress
from loadtest.measure.records import Rows
from loadtest.measure.session import Plan, Session
from loadtest.measure.shape import planned_environment
from loadtest.plan.mix import KINDS

_CONNECT_LIMIT_SEC = 60.0
_PLAN_LIMIT_SEC = 30.0
_REPORT_LIMIT_SEC = 15.0
_LOST = "never answered: its worker was lost"
_PLAN, _PLANNED, _RESULT = "loadtest-plan", "loadtest-planned", "loadtest-result"


@dataclass
class Sent:
    """What came of a plan: every request, and the processor seconds that sending took, by process."""

    plan: Plan
    rows: Rows
    seconds: float
    cpu_sec: dict[str, float] = field(default_factory=dict)


class Driver:
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
        self.runner: LocalRunner | MasterRunner = self.environment.create_local_runner()

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
            self.runner.start_shape()
            if self.runner.shape_greenlet is not None:
                self.runner.shape_greenlet.join()
        if self._interrupted:
            raise KeyboardInterrupt
        return self.finish()

    def finish(self) -> Sent:
        """Return what came of the plan that has just ended."""
        plan = self.session.plan
        assert plan is not None  # noqa: S101  # prepare() came first
        return Sent(plan, self.session.rows, self.session.second(), {"this process": self.session.own_cpu_sec()})

    def close(self) -> None:
        """End everything that Locust started, at once."""
        self.environment.stop_timeout = 0.0
        with contextlib.suppress(AttributeError):  # connect() failed
            self.runner.quit()

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


class MasterDriver(Driver):
    """Lets workers send, each its share, and gathers their rows."""

    def __init__(self, session: Session, progress: Progress, bind: str, port: int, workers: int) -> None:
        super().__init__(session, progress)
        self._bind, self._port, self._workers = bind, port, workers
        self._planned: dict[str, list[str]] = {}
        self._cpu_sec: dict[str, float] = {}
        self._all_planned = Event()

    def connect(self) -> None:
        """Wait for the workers.

        Raises:
            LoadTestError: not all came within a minute, or the port is taken.
        """
        try:
            runner = self.environment.create_master_runner(self._bind, self._port)
        except SystemExit as error:  # Locust's way to say so
            raise LoadTestError(f"Port {self._port} is taken: another master may be running. Choose --port.") from error
        self.runner = runner
        runner.register_message(_PLANNED, self._note_planned)
        runner.register_message(_RESULT, self._note_result)
        self.environment.events.worker_report.add_listener(self._note_report)
        end = time.monotonic() + _CONNECT_LIMIT_SEC
        while len(runner.clients.ready) < self._workers:
            if time.monotonic() > end:
                raise LoadTestError(
                    f"{len(runner.clients.ready)} of {self._workers} workers connected to port {self._port} within "
                    f"{_CONNECT_LIMIT_SEC:.0f} s. Start them with: python -m loadtest worker --master HOST"
                )
            gevent.sleep(0.1)
        self._shape.processes = self._workers

    def prepare(self, plan: Plan) -> None:
        """Send each worker its share of the plan.

        Raises:
            LoadTestError: a worker lacks pictures for it, or does not reply.
        """
        super().prepare(plan)
        self._planned.clear()
        self._cpu_sec.clear()
        self._all_planned.clear()
        for number, worker in enumerate(sorted(self.runner.clients)):  # type: ignore[union-attr]  # a master's
            self.runner.send_message(_PLAN, plan.of(number, self._workers).to_dict(), worker)
        if not self._all_planned.wait(_PLAN_LIMIT_SEC):
            raise LoadTestError(f"{len(self._planned)} of {self._workers} workers took the plan; start them again.")
        for worker, missing in self._planned.items():
            if missing:
                raise LoadTestError(
                    f"The worker {worker} has no pictures for: {', '.join(missing)}. Give it --pictures."
                )

    def finish(self) -> Sent:
        """Wait for what the workers still have to report; what never came counts as failed."""
        end = time.monotonic() + _REPORT_LIMIT_SEC
        while self._living() - self._cpu_sec.keys() and time.monotonic() < end:
            gevent.sleep(0.05)
        sent = super().finish()
        sent.cpu_sec = dict(self._cpu_sec)
        if not sent.plan.scenario.closed:
            count_lost(sent.plan, sent.rows)
        return sent

    def _living(self) -> set[str]:
        clients = self.runner.clients  # type: ignore[union-attr]  # a master's
        return {name for name, client in clients.items() if client.state != STATE_MISSING}

    def _note_planned(self, msg: Message, **_: Any) -> None:
        self._planned[msg.node_id] = msg.data["missing"]
        if len(self._planned) == self._workers:
            self._all_planned.set()

    def _note_report(self, data: dict[str, Any], **_: Any) -> None:
        if "rows" in data:
            self.session.rows.merge(data["rows"])

    def _note_result(self, msg: Message, **_: Any) -> None:
        self.session.rows.merge(msg.data["rows"])
        self._cpu_sec[msg.node_id] = msg.data["cpu_sec"]


def work(session: Session, master: str, port: int) -> None:
    """Be a worker until the master says that all is done.

    Raises:
        LoadTestError: no master answers.
    """
    environment, _ = planned_environment(session)
    try:
        runner = environment.create_worker_runner(master, port)
    except (OSError, SystemExit) as error:
        raise LoadTestError(f"No master answers at {master}:{port}: {error}.") from error

    def take_plan(msg: Message, **_: Any) -> None:
        session.plan = Plan.from_dict(msg.data)
        missing = sorted(set(session.plan.mix) - session.bodies.kinds)
        runner.send_message(_PLANNED, {"missing": missing})

    def begin(**_: Any) -> None:
        if session.plan is not None:
            session.begin(session.plan)

    def report(data: dict[str, Any], **_: Any) -> None:
        data["rows"] = session.rows.take()

    def end(**_: Any) -> None:
        runner.send_message(_RESULT, {"rows": session.rows.take(), "cpu_sec": session.own_cpu_sec()})
        # Everything is answered; Locust would wait this long before it is ready again. The next plan sets it anew.
        environment.stop_timeout = 0.0

    runner.register_message(_PLAN, take_plan)
    environment.events.test_start.add_listener(begin)
    environment.events.report_to_master.add_listener(report)
    environment.events.test_stop.add_listener(end)
    runner.greenlet.join()


def count_lost(plan: Plan, rows: Rows) -> None:
    """Add a failure for every arrival of the schedule that has no row."""
    due = Counter((arrival.phase, kind) for arrival, kind in plan.of(0, 1).schedule())
    names = tuple(KINDS)
    first = rows.column("attempt") == 1
    for phase, kind in zip(rows.column("phase")[first], rows.column("kind")[first], strict=True):
        due[int(phase), names[kind]] -= 1
    starts = plan.scenario.starts()
    for (phase, kind), count in due.items():
        for _ in range(count):
            rows.add(kind, phase, 1, starts[phase], 0.0, 0.0, Judgement(Outcome.FAILED, _LOST))


@contextlib.contextmanager
def driving(driver: Driver) -> Iterator[Driver]:
    """Hold a connected driver for the duration of the block."""
    try:
        driver.connect()
        yield driver
    finally:
        driver.close()
