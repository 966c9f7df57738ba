"""Everything that stands ready for a test: the service, the pictures, the consent, the plan runner; then the verdict.

Imported only by the commands that send: Locust, at its import, replaces parts of the standard library for the whole
process.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import locust  # before what imports ssl: it replaces the standard library's sockets

from loadtest.errors import LoadTestError
from loadtest.judge import results, saved
from loadtest.judge.document import RunDocument
from loadtest.judge.targets import Target
from loadtest.measure import machine, servers
from loadtest.measure.distributed import MasterPlanRunner
from loadtest.measure.endpoint import Endpoint, endpoint
from loadtest.measure.progress import Progress
from loadtest.measure.runner import PlanRunner, Sent, connected
from loadtest.measure.service import Service
from loadtest.measure.session import Plan, Session
from loadtest.options import Options
from loadtest.plan import mix, pictures
from loadtest.plan.bodies import Bodies
from loadtest.plan.schedule import Scenario
from loadtest.show import report, summary

_READY_LIMIT_SEC = 60.0


@dataclass
class Rig:
    """Everything that stands ready for a test."""

    options: Options
    endpoint: Endpoint
    service: Service
    version: dict[str, Any]
    stock: pictures.Stock
    mix: Mapping[str, int]
    plan_runner: PlanRunner
    progress: Progress

    def plan(self, scenario: Scenario) -> Plan:
        """Return a plan for a scenario with the pictures at hand."""
        return Plan(scenario, self.mix, self.options.seed)

    def conditions(self, sent: Sent, process_before: Mapping[str, float], target_file: Path) -> results.Conditions:
        """Return what a run was made under."""
        process = self.process()
        if process and process_before:
            process["used_cpu_sec"] = round(process["cpu_sec"] - process_before["cpu_sec"], 2)
        return results.Conditions(
            when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            host="the service of this checkout" if self.options.host is None else self.endpoint.name,
            local=self.endpoint.local,
            service=self.version,
            process=process,
            machine=machine.describe(),
            generator={
                "locust": locust.__version__,
                "processes": len(sent.cpu_sec),
                "cpu_share": {name: round(used / max(sent.seconds, 1e-9), 3) for name, used in sent.cpu_sec.items()},
            },
            pictures={
                "from": self.options.folder.name if self.options.folder else "generated",
                **pictures.describe(self.stock),
            },
            target_file=_short(target_file),
        )

    def process(self) -> dict[str, float]:
        """Return what the service's process has used so far, where it runs on this machine."""
        return self.service.process() if self.endpoint.local else {}

    def report(
        self, sent: Sent, process_before: Mapping[str, float], targets: list[Target], target_file: Path
    ) -> RunDocument:
        """Write the report of a run, print its summary, and return its result."""
        conditions = self.conditions(sent, process_before, target_file)
        run = results.build(sent.plan, sent.records, sent.seconds, targets, conditions)
        output = self.options.output
        saved.save(run, output)
        report.save(run, output)
        click.echo(summary.terminal(run.result))
        click.echo(f"\n  {output / saved.HTML}  (also {saved.PNG}, {saved.JSON}, {saved.JUNIT}, {saved.REQUESTS})")
        return run.result


@contextlib.contextmanager
def prepared(options: Options, load: str | None) -> Iterator[Rig]:
    """Set everything up, in the order in which mistakes are cheapest; take it down whatever happens.

    `load` says what the service will get, for those who are asked whether they want that; None for what is harmless.

    Raises:
        LoadTestError: something is missing or wrong, or consent was not given.
    """
    progress = Progress(options.quiet)
    wanted = mix.parse(options.mix)
    with contextlib.ExitStack() as stack:
        if options.host is None:
            progress.say("Starting the service of this checkout")
            where = endpoint(stack.enter_context(servers.serving(options.output)))
        else:
            where = options.endpoint(options.host)
        service = Service(where)
        stock = _pictures(options, wanted, progress)
        bodies = Bodies(stock, options.seed)
        sendable = _sendable(options, wanted, bodies, progress)
        version = service.check(bodies.next(mix.SMALL), _READY_LIMIT_SEC if options.host is None else 0.0)
        _obtain_consent(options, where, load)
        session = Session(where, bodies)
        if options.workers:
            progress.say(f"Waiting for {options.workers} workers on {options.bind}:{options.port}")
            plan_runner: PlanRunner = MasterPlanRunner(session, progress, options.bind, options.port, options.workers)
        else:
            plan_runner = PlanRunner(session, progress)
        stack.enter_context(connected(plan_runner))
        yield Rig(options, where, service, version, stock, sendable, plan_runner, progress)


def _short(file: Path) -> str:
    """Return a path as it is seen from here; a report says nothing of this machine's folders."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else file.name


def _pictures(options: Options, wanted: mix.Mix, progress: Progress) -> pictures.Stock:
    if options.folder:
        return pictures.from_folder(options.folder, progress.say)
    return pictures.generate(set(wanted), options.seed)


def _sendable(options: Options, wanted: mix.Mix, bodies: Bodies, progress: Progress) -> dict[str, int]:
    """Return the part of the mix that the pictures are enough for; only the usual mix may lose some.

    Raises:
        LoadTestError: a mix that was asked for by name needs other pictures.
    """
    sendable = {request_kind: share for request_kind, share in wanted.items() if request_kind in bodies.request_kinds}
    if missing := [request_kind for request_kind in wanted if request_kind not in sendable]:
        if options.mix != "typical" or not sendable:
            raise LoadTestError(f"--mix {options.mix!r}: {options.folder} holds no picture for {', '.join(missing)}.")
        progress.say(f"{options.folder} holds no picture for {', '.join(missing)}: the others make up for them.")
    return sendable


def _obtain_consent(options: Options, where: Endpoint, load: str | None) -> None:
    """Ask for consent where a test is more than a smoke and goes to another machine."""
    if where.local or load is None or options.yes:
        return
    question = f"{where.name} will get {load}. Go on?"
    try:
        consent = click.confirm(question, err=True)
    except click.Abort as error:
        raise LoadTestError(f"{question} Nobody is there to answer: give --yes, or CONFIRM=1 with make.") from error
    if not consent:
        raise LoadTestError("Nothing was sent.")
