"""One plan sent by several processes: the master that hands out shares of it, and the workers."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import gevent
from gevent.event import Event
from locust.rpc import Message
from locust.runners import STATE_MISSING

from loadtest.errors import LoadTestError
from loadtest.measure.answers import Judgement, Outcome
from loadtest.measure.progress import Progress
from loadtest.measure.records import Records
from loadtest.measure.runner import PlanRunner, Sent, planned_environment
from loadtest.measure.session import Plan, Session
from loadtest.plan.mix import REQUEST_KINDS

_CONNECT_LIMIT_SEC = 60.0
_PLAN_LIMIT_SEC = 30.0
_REPORT_LIMIT_SEC = 15.0
_LOST = "never answered: its worker was lost"
_PLAN, _PLANNED, _RESULT = "loadtest-plan", "loadtest-planned", "loadtest-result"


class MasterPlanRunner(PlanRunner):
    """Lets workers send, each its share, and gathers their records."""

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
        self.locust_runner = runner
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
        for number, worker in enumerate(sorted(self.locust_runner.clients)):  # type: ignore[union-attr]  # a master's
            self.locust_runner.send_message(_PLAN, plan.of(number, self._workers).to_dict(), worker)
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
            count_lost(sent.plan, sent.records)
        return sent

    def _living(self) -> set[str]:
        clients = self.locust_runner.clients  # type: ignore[union-attr]  # a master's
        return {name for name, client in clients.items() if client.state != STATE_MISSING}

    def _note_planned(self, msg: Message, **_: Any) -> None:
        self._planned[msg.node_id] = msg.data["missing"]
        if len(self._planned) == self._workers:
            self._all_planned.set()

    def _note_report(self, data: dict[str, Any], **_: Any) -> None:
        if "records" in data:
            self.session.records.merge(data["records"])

    def _note_result(self, msg: Message, **_: Any) -> None:
        self.session.records.merge(msg.data["records"])
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
        missing = sorted(set(session.plan.mix) - session.bodies.request_kinds)
        runner.send_message(_PLANNED, {"missing": missing})

    def begin(**_: Any) -> None:
        if session.plan is not None:
            session.begin(session.plan)

    def report(data: dict[str, Any], **_: Any) -> None:
        data["records"] = session.records.take()

    def end(**_: Any) -> None:
        runner.send_message(_RESULT, {"records": session.records.take(), "cpu_sec": session.own_cpu_sec()})
        # Everything is answered; Locust would wait this long before it is ready again. The next plan sets it anew.
        environment.stop_timeout = 0.0

    runner.register_message(_PLAN, take_plan)
    environment.events.test_start.add_listener(begin)
    environment.events.report_to_master.add_listener(report)
    environment.events.test_stop.add_listener(end)
    runner.greenlet.join()


def count_lost(plan: Plan, records: Records) -> None:
    """Add a failure for every arrival of the schedule that has no record."""
    due = Counter((arrival.phase, request_kind) for arrival, request_kind in plan.of(0, 1).schedule())
    names = tuple(REQUEST_KINDS)
    first = records.column("attempt") == 1
    for phase, request_kind in zip(records.column("phase")[first], records.column("request_kind")[first], strict=True):
        due[int(phase), names[request_kind]] -= 1
    starts = plan.scenario.starts()
    for (phase, request_kind), count in due.items():
        for _ in range(count):
            records.add(request_kind, phase, 1, starts[phase], 0.0, 0.0, Judgement(Outcome.FAILED, _LOST))
