"""What `python -m loadtest run` and `rate` have in common: pictures, the service, the consent, the driver, the verdict.

Imported only by those commands: Locust, at its import, replaces parts of the standard library for the whole process.
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
from loadtest.judge import results
from loadtest.judge.targets import Target
from loadtest.measure import access, local, machine
from loadtest.measure.progress import Progress
from loadtest.measure.runner import Driver, MasterDriver, Sent, driving
from loadtest.measure.session import Plan, Session
from loadtest.plan import mix, pictures
from loadtest.plan.bodies import Bodies
from loadtest.plan.scenarios import Scenario
from loadtest.show import report, summary

_READY_LIMIT_SEC = 60.0


@dataclass(frozen=True)
class Options:
    """What the command line says about any test."""

    host: str | None  # None starts the service of this checkout
    mix: str
    folder: Path | None
    output: Path
    insecure: bool
    connect_to: str | None
    yes: bool
    seed: int
    workers: int
    bind: str
    port: int
    quiet: bool


@dataclass
class Bench:
    """Everything that stands ready for a test."""

    options: Options
    target: access.Target
    service: access.Service
    version: dict[str, Any]
    stock: pictures.Stock
    mix: Mapping[str, int]
    driver: Driver
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
            host="the service of this checkout" if self.options.host is None else self.target.name,
            local=self.target.local,
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
        return self.service.process() if self.target.local else {}


@contextlib.contextmanager
def bench(options: Options, what: str | None) -> Iterator[Bench]:
    """Set everything up, in the order in which mistakes are cheapest; take it down whatever happens.

    `what` says what the service will get, for those who are asked whether they want that; None for what is harmless.

    Raises:
        LoadTestError: something is missing or wrong, or consent was not given.
    """
    progress = Progress(options.quiet)
    wanted = mix.parse(options.mix)
    with contextlib.ExitStack() as stack:
        if options.host is None:
            progress.say("Starting the service of this checkout")
            target = access.target(stack.enter_context(local.serving(options.output)))
        else:
            target = access.target(options.host, options.insecure, options.connect_to)
        service = access.Service(target)
        stock = _pictures(options, wanted, progress)
        bodies = Bodies(stock, options.seed)
        dealt = {kind: share for kind, share in wanted.items() if kind in bodies.kinds}
        if missing := [kind for kind in wanted if kind not in dealt]:
            if options.mix != "typical" or not dealt:
                raise LoadTestError(
                    f"--mix {options.mix!r}: {options.folder} holds no picture for {', '.join(missing)}."
                )
            progress.say(f"{options.folder} holds no picture for {', '.join(missing)}: the others make up for them.")
        version = service.check(bodies.next(mix.SMALL), _READY_LIMIT_SEC if options.host is None else 0.0)
        _ask(options, target, what)
        session = Session(target.url, bodies, target.headers, target.insecure, target.connect_to)
        if options.workers:
            progress.say(f"Waiting for {options.workers} workers on {options.bind}:{options.port}")
            driver: Driver = MasterDriver(session, progress, options.bind, options.port, options.workers)
        else:
            driver = Driver(session, progress)
        stack.enter_context(driving(driver))
        yield Bench(options, target, service, version, stock, dealt, driver, progress)


def report_on(
    found: Bench, sent: Sent, process_before: Mapping[str, float], targets: list[Target], target_file: Path
) -> dict[str, Any]:
    """Write the report of a run, print its summary, and return its result."""
    run = results.build(
        sent.plan, sent.rows, sent.seconds, targets, found.conditions(sent, process_before, target_file)
    )
    output = found.options.output
    results.save(run, output)
    report.save(run, output)
    click.echo(summary.terminal(run.result))
    click.echo(
        f"\n  {output / results.HTML}  (also {results.PNG}, {results.JSON}, {results.JUNIT}, {results.REQUESTS})"
    )
    return run.result


def _short(file: Path) -> str:
    """Return a path as it is seen from here; a report says nothing of this machine's folders."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else file.name


def _pictures(options: Options, wanted: Mapping[str, int], progress: Progress) -> pictures.Stock:
    if options.folder:
        return pictures.from_folder(options.folder, progress.say)
    return pictures.generate(set(wanted), options.seed)


def _ask(options: Options, target: access.Target, what: str | None) -> None:
    """Ask for consent where a test is more than a smoke and goes to another machine."""
    if target.local or what is None or options.yes:
        return
    question = f"{target.name} will get {what}. Go on?"
    try:
        consent = click.confirm(question, err=True)
    except click.Abort as error:
        raise LoadTestError(f"{question} Nobody is there to answer: give --yes, or CONFIRM=1 with make.") from error
    if not consent:
        raise LoadTestError("Nothing was sent.")
