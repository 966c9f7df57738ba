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
from argparse import Namespace
from collections.abc import Callable
from typing import Any, cast

import click
import gevent
from locust.env import Environment
from locust.event import Events
from locust.exception import StopTest
from locust.runners import MasterRunner, WorkerRunner

from loadtest.errors import LoadTestError
from loadtest.exit_codes import INTERRUPTED, USAGE, of_result
from loadtest.judge.results import Run
from loadtest.measure.answers import Outcome
from loadtest.measure.session import Session, attach
from loadtest.measure.users import ANSWER_LIMIT_SEC, ScenarioShape, record_requests, watch_lateness
from loadtest.options import Options, add_arguments
from loadtest.plan import mix
from loadtest.plan.bodies import Bodies
from loadtest.plan.schedule import Plan
from loadtest.rig import Rig, make_pictures, stand_ready

_PLAN, _RECORDS, _TROUBLE = "loadtest-plan", "loadtest-records", "loadtest-trouble"
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
        events = environment.events
        events.test_start.add_listener(self._begin)
        events.report_to_master.add_listener(self._report)
        events.test_stop.add_listener(self._end)
        # Locust stops the users after it has told the master that this worker is gone, and what they sent would be lost.
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
        if trouble:
            self.runner.send_message(_TROUBLE, f"The worker {self.runner.client_id} cannot send: {trouble}")

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
        shaped = isinstance(environment.shape_class, ScenarioShape)
        self.session = Session(prepare=self._prepare, shaped=shaped)
        attach(environment, self.session)
        options = Options.of(parsed(environment))
        options.planned()  # a mistake is told at once
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
            self.runner.register_message(_RECORDS, lambda msg, **_: self._merge(msg.data))
            self.runner.register_message(_TROUBLE, lambda msg, **_: self._give_up(msg.data))
        else:
            record_requests(self.environment)
        _on_interruption(self._interrupt)

    def _prepare(self) -> None:
        """Make ready for a start from Locust's page, where host and options may have changed."""
        if self.web_ui is not None:
            self._stand_ready()

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
        if not self.session.shaped:
            self._prepare()
        if self.trouble or self.rig is None or self.session.plan is None:
            self.environment.process_exit_code = USAGE
            raise StopTest(self.trouble)
        plan = self.session.plan
        self.before = self.rig.process()
        self.running, self.interrupted = True, False
        self.session.begin(plan)
        # A closed loop's users end with their answers. Those of an open loop end by themselves, or at once.
        self.environment.stop_timeout = ANSWER_LIMIT_SEC if plan.scenario.closed else 0.0
        if self.master:
            clients = self.runner.clients
            workers = sorted(client.id for client in clients.ready + clients.running + clients.spawning)
            for number, worker in enumerate(workers):
                share = plan.of(number, len(workers)).to_dict()
                message = {"plan": share, "host": self.rig.endpoint.url, "shaped": self.session.shaped}
                self.runner.send_message(_PLAN, message, worker)
        self.greenlets = [watch_lateness(self.session)]
        if self.rig.options.progress:
            self.greenlets.append(gevent.spawn(show_progress, self.session))

    def _merge(self, packed: dict[str, Any]) -> None:
        if self.running:
            self.session.merge(packed)

    def _stopped(self, **_: Any) -> None:
        gevent.killall(self.greenlets, block=False)
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
        self.environment.process_exit_code = of_result(run.result)
        if self.web_ui is not None:
            self.page = _page(run), 200

    def _give_up(self, why: str) -> None:
        """End a test that a worker cannot take part in."""
        click.echo(f"Error: {why}", err=True)
        self.running = False
        self.environment.process_exit_code = USAGE
        gevent.spawn(self.runner.stop if self.web_ui is not None else self.runner.quit)

    def _interrupt(self) -> None:
        self.interrupted, self.environment.stop_timeout = True, 0.0
        click.echo("Interrupted: the test is stopped; what was measured so far is judged.", err=True)
        if self.running and self.master:
            self.runner.stop()  # waits for what the workers still have to report
        if self.running or self.web_ui is not None:
            gevent.kill(self.main, KeyboardInterrupt)
        else:  # a master that waits for its workers
            self.runner.quit()
            gevent.kill(self.main, SystemExit(INTERRUPTED))


def _on_interruption(act: Callable[[], None]) -> None:
    """Act in a greenlet of its own: gevent raises a KeyboardInterrupt in whichever runs, and Locust swallows some."""
    for number in (signal.SIGINT, signal.SIGHUP):
        gevent.signal_handler(number, act)


def _page(run: Run) -> str:
    from loadtest.show import report  # loads Matplotlib

    return report.page(run)


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
