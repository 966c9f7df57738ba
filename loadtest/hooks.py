"""What hangs on Locust's events: options, the check of the host, one schedule for all workers, verdict and report.

A Locust process is alone, a master or a worker. Alone and as a master it checks the host before it starts, and judges
when the test is over: in headless mode when Locust quits, which then ends with our exit code; of Locust's page, after
each test, whose report is shown at /loadtest. A worker sends its share of the arrivals and reports what came of them
with Locust's own statistics.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any, cast

import click
import gevent
from locust.env import Environment
from locust.event import Events
from locust.exception import StopTest
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadtest.errors import LoadTestError
from loadtest.exit_codes import INTERRUPTED, USAGE, of_result
from loadtest.measure.answers import Outcome
from loadtest.measure.session import Session, attach
from loadtest.measure.users import ANSWER_LIMIT_SEC, PictureUser, ScenarioShape, record_requests, watch_lateness
from loadtest.options import Options, add_arguments
from loadtest.plan import mix
from loadtest.plan.bodies import Bodies
from loadtest.plan.schedule import Plan
from loadtest.rig import Rig, make_pictures, stand_ready

_PLAN, _STOP = "loadtest-plan", "loadtest-stop"  # a master's messages
_PLANNED, _RECORDS = "loadtest-planned", "loadtest-records"  # a worker's
_PLAN_LIMIT_SEC, _GATHER_LIMIT_SEC = 30.0, 10.0
_REGISTERED = "loadtest_registered"
_PROGRESS_SEC = 10


def register(events: Events) -> None:
    """Listen to Locust's events, once; a locustfile calls it when it is loaded."""
    if getattr(events, _REGISTERED, False):
        return
    setattr(events, _REGISTERED, True)

    def init(environment: Environment, runner: Any, web_ui: Any = None, **_: Any) -> None:
        try:
            _Worker(environment) if isinstance(runner, WorkerRunner) else _Judge(environment, web_ui)
        except LoadTestError as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(USAGE) from None
        except KeyboardInterrupt:  # from here on _on_interruption() hears of it
            click.echo("Interrupted: nothing was sent but a question, nothing was judged.", err=True)
            raise SystemExit(INTERRUPTED) from None

    events.init_command_line_parser.add_listener(lambda parser, **_: add_arguments(parser))
    events.init.add_listener(init)


def parsed(environment: Environment) -> Namespace:
    """Return what Locust's command line said."""
    return cast(Namespace, environment.parsed_options)


class _Worker:
    """Sends what a master says."""

    def __init__(self, environment: Environment) -> None:
        self.environment: Environment = environment
        self.runner = cast(Any, environment.runner)  # a worker's has more than the others
        self.options = Options.of(parsed(environment))
        self.bodies = Bodies(make_pictures(self.options, mix.parse(self.options.mix)), self.options.seed)
        self.session = Session(bodies=self.bodies)
        self.watch: gevent.Greenlet | None = None
        attach(environment, self.session)
        record_requests(environment)
        self.runner.register_message(_PLAN, self._take_plan)
        self.runner.register_message(_STOP, lambda **_: self.runner.stop())
        events = environment.events
        events.test_start.add_listener(self._begin)
        events.report_to_master.add_listener(self._report)
        events.test_stop.add_listener(self._end)
        # Locust stops the users after it has told the master that this worker is gone: what they sent would be lost.
        events.quitting.add_listener(lambda **_: self.runner.stop())
        main = gevent.getcurrent()
        _on_interruption(lambda: gevent.kill(main, KeyboardInterrupt))

    def _take_plan(self, msg: Any, **_: Any) -> None:
        self.session.plan, self.session.shaped = Plan.from_dict(msg.data["plan"]), msg.data["shaped"]
        missing = sorted(self.session.plan.mix.keys() - self.bodies.request_kinds)
        trouble = f"it has no pictures for {', '.join(missing)}; start it with the master's options." if missing else ""
        try:
            self.session.endpoint = self.options.endpoint(msg.data["host"])
        except LoadTestError as error:
            trouble = str(error)
        self.runner.send_message(_PLANNED, trouble)

    def _begin(self, **_: Any) -> None:
        if self.session.plan is not None:
            self.session.begin(self.session.plan)
            self.watch = watch_lateness(self.session)

    def _report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        data["loadtest"] = self.session.take(client_id)

    def _end(self, **_: Any) -> None:
        if self.watch:
            self.watch.kill(block=False)
        # Before Locust says that this worker has stopped, after which nobody would wait for it.
        self.runner.send_message(_RECORDS, self.session.take(self.runner.client_id))
        # Everything is answered; Locust would wait this long before it is ready again. The next start sets it anew.
        self.environment.stop_timeout = 0.0


class _Judge:
    """Decides what is sent, and what it was worth: alone, or as a master."""

    def __init__(self, environment: Environment, web_ui: Any) -> None:
        self.environment, self.web_ui = environment, web_ui
        self.runner = cast(Any, environment.runner)  # a master's has more than the others
        self.master = isinstance(self.runner, MasterRunner)
        self.main = gevent.getcurrent()
        self.rig: Rig | None = None
        self.trouble = ""  # why the test cannot be made
        self.before: dict[str, float] = {}
        self.running = self.leaving = self.interrupted = False
        self.page = "No run was finished yet.", 404
        self.greenlets: list[gevent.Greenlet] = []
        self.planned: dict[str, str] = {}  # workers that have their share, and why they cannot send it
        self.reported: set[str] = set()  # workers that have stopped
        self.session = Session(prepare=self._prepare, shaped=self._shaped())
        attach(environment, self.session)
        options = Options.of(parsed(environment))
        options.planned()  # a mistake is told at once
        strangers = [user.__name__ for user in environment.user_classes if not issubclass(user, PictureUser)]
        if self.session.shaped and strangers:
            raise LoadTestError(
                f"{strangers[0]} is no PictureUser, so no load of a scenario reaches it: make it one, or leave "
                "Scenarios out of your locustfile, and say the load with --users and --run-time."
            )
        if options.progress is not None:
            logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)
        if web_ui is None:
            self._stand_ready()
            if self.trouble:
                raise LoadTestError(self.trouble)
        else:
            web_ui.app.add_url_rule("/loadtest", "loadtest", lambda: self.page)
        self._listen()

    def _listen(self) -> None:
        events = self.environment.events
        events.test_start.add_listener(self._begin)
        events.test_stop.add_listener(self._stopped)
        events.quitting.add_listener(self._quit)
        if self.master:
            events.worker_report.add_listener(lambda data, **_: self._merge(data["loadtest"]))
            self.runner.register_message(_RECORDS, self._merge_last)
            self.runner.register_message(_PLANNED, lambda msg, **_: self.planned.update({msg.node_id: msg.data}))
        else:
            record_requests(self.environment)
        _on_interruption(self._interrupt)

    def _shaped(self) -> bool:
        """Return whether a scenario says the load; with --class-picker Locust's page has a choice of that, too."""
        return isinstance(self.environment.shape_class, ScenarioShape)

    def _prepare(self) -> None:
        """Make ready for a start: from Locust's page, where host and options may have changed, and with its workers."""
        self.session.shaped = self._shaped()
        if self.web_ui is not None:
            self._stand_ready()
        if self.master and not self.trouble:
            self._hand_out()
        if self.trouble:
            click.echo(f"Error: {self.trouble}", err=True)
            self.environment.process_exit_code, self.session.plan = USAGE, None

    def _stand_ready(self) -> None:
        self.trouble, self.session.plan = "", None
        stock = self.rig.stock if self.rig else None
        try:
            options = Options.of(parsed(self.environment))
            scenario = options.planned()
            self.rig = stand_ready(options, self.environment.host or "", not self.master, stock)
        except LoadTestError as error:
            self.trouble = str(error)
            return
        self.session.endpoint, self.session.bodies = self.rig.endpoint, self.rig.bodies
        self.session.plan = self.rig.plan(scenario)

    def _begin(self, **_: Any) -> None:
        if not self._shaped():
            self._prepare()
        if self.rig is None or self.session.plan is None:
            raise StopTest(self.trouble)
        # A closed loop's users end with their answers. Those of an open loop end by themselves, or at once.
        closed = self.session.plan.scenario.closed
        self.environment.stop_timeout = ANSWER_LIMIT_SEC if closed else 0.0
        self.before = self.rig.process()
        self.running, self.interrupted = True, False
        self.session.begin(self.session.plan)
        self.greenlets = [watch_lateness(self.session)]
        if self.rig.options.progress:
            self.greenlets.append(gevent.spawn(show_progress, self.session))

    def _hand_out(self) -> None:
        """Give each worker its share of the plan, and wait until all have it, so that they begin together."""
        assert self.rig is not None  # noqa: S101  # or there would be trouble
        assert self.session.plan is not None  # noqa: S101  # likewise
        clients = self.runner.clients
        workers = sorted(client.id for client in clients.ready + clients.running + clients.spawning)
        self.planned, self.reported = {}, set()
        for number, worker in enumerate(workers):
            share = self.session.plan.of(number, len(workers)).to_dict()
            message = {"plan": share, "host": self.rig.endpoint.url, "shaped": self.session.shaped}
            self.runner.send_message(_PLAN, message, worker)
        with gevent.Timeout(_PLAN_LIMIT_SEC, exception=False):
            while len(self.planned) < len(workers):
                gevent.sleep(0.02)
        if silent := sorted(set(workers) - self.planned.keys()):
            self.trouble = f"The worker {silent[0]} does not take the plan: start it with the master's locustfile."
        for worker, why in self.planned.items():
            if why:
                self.trouble = f"The worker {worker} cannot send: {why}"

    def _merge(self, packed: dict[str, Any]) -> None:
        if self.running:
            self.session.merge(packed)

    def _merge_last(self, msg: Any, **_: Any) -> None:
        self._merge(msg.data)
        self.reported.add(msg.node_id)

    def _gather(self) -> None:
        """Have the workers stop and report; Locust gives them half a second, which a busy machine may not have."""
        self.runner.send_message(_STOP)
        end = time.monotonic() + _GATHER_LIMIT_SEC
        while time.monotonic() < end:
            alive = {client.id for client in self.runner.clients.all if client.state != STATE_MISSING}
            if alive <= self.reported:
                break
            gevent.sleep(0.02)

    def _stopped(self, **_: Any) -> None:
        gevent.killall(self.greenlets, block=False)
        if self.master and self.interrupted:
            self._gather()
        if self.running and self.session.plan and self.session.shaped:
            # Locust's own end of a test comes after the last request was due.
            alive = not self.master or self.runner.worker_count > 0
            self.interrupted |= alive and self.session.second() < self.session.plan.scenario.seconds
        if self.web_ui is not None and not self.leaving:
            self._judge()

    def _quit(self, **_: Any) -> None:
        self.leaving = True
        self.runner.quit()  # Locust does so next; here, so that the workers' last reports are there
        self._judge()
        if self.interrupted and self.environment.process_exit_code is None:
            self.environment.process_exit_code = INTERRUPTED

    def _judge(self) -> None:
        if not self.running or self.rig is None:
            return
        self.running = False
        run = self.rig.conclude(self.session, self.before, self.interrupted, self.master)
        code = of_result(run.result)
        try:
            self.rig.save(run)
            if self.web_ui is not None:
                self.page = self.rig.page(run), 200
        except LoadTestError as error:
            click.echo(f"Error: {error}", err=True)
            self.page, code = (str(error), 500), code or USAGE
        self.environment.process_exit_code = code

    def _interrupt(self) -> None:
        self.interrupted, self.environment.stop_timeout = True, 0.0
        click.echo("Interrupted: the test is stopped; what was measured so far is judged.", err=True)
        if self.running or self.web_ui is not None:
            gevent.kill(self.main, KeyboardInterrupt)
        else:  # a master that waits for its workers
            self.runner.quit()
            gevent.kill(self.main, SystemExit(INTERRUPTED))


def _on_interruption(act: Callable[[], None]) -> None:
    """Act in a greenlet of its own: gevent raises a KeyboardInterrupt in whichever runs, and Locust swallows some."""
    for number in (signal.SIGINT, signal.SIGHUP):
        gevent.signal_handler(number, act)


def show_progress(session: Session) -> None:
    """Tell how far a test is, on standard error: in one line on a terminal, every ten seconds elsewhere."""
    terminal, seen, shown = sys.stderr.isatty(), 0, 0
    with contextlib.suppress(BrokenPipeError):
        while True:
            gevent.sleep(1)
            shown += 1
            if terminal or not shown % _PROGRESS_SEC:
                line, seen = progress(session, seen), len(session.records)
                click.echo(f"\r\x1b[K{line}" if terminal else line, nl=not terminal, err=True)


def progress(session: Session, begin: int = 0) -> str:
    """Return the state of a session in one line; latency is of the answers from number `begin` on."""
    assert session.plan is not None  # noqa: S101  # it has begun
    scenario, second = session.plan.scenario, session.second()
    index = scenario.phase_at(second)
    doing = "waiting for the last answers" if index is None else scenario.phases[index].name
    latencies, outcomes = session.records.tail(begin)
    good = [value / 1000 for value, outcome in zip(latencies, outcomes, strict=True) if outcome == Outcome.GOOD]
    _, everything = session.records.tail(0)
    refused, failed = (everything.count(outcome) for outcome in (Outcome.REFUSED, Outcome.FAILED))
    return (
        f"{min(second, scenario.seconds):.0f} of {scenario.seconds:g} s  {doing:<10.30}  "
        f"{len(session.records):>6} answers, {refused} refused, {failed} failed"
        + (f"; just now {statistics.median(good):.0f} ms" if good else "")
    )
