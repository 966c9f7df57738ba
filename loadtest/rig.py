"""What stands ready for a test (service, pictures, targets), and what a run ends with: verdict and report."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import locust  # before what imports ssl: it replaces the standard library's sockets

from loadtest.errors import LoadTestError, make_folder, writing
from loadtest.judge import results, saved
from loadtest.judge.targets import Target
from loadtest.measure import machine
from loadtest.measure.answers import LOST_WORKER, Judgement, Outcome
from loadtest.measure.endpoint import Endpoint
from loadtest.measure.records import Records
from loadtest.measure.service import Service
from loadtest.measure.session import Session
from loadtest.options import Options
from loadtest.plan import mix, pictures
from loadtest.plan.bodies import Bodies
from loadtest.plan.schedule import Phase, Plan, Scenario
from loadtest.show import summary

_READY_LIMIT_SEC = 60.0


@dataclass(frozen=True)
class Rig:
    """Everything that stands ready for a test."""

    options: Options
    endpoint: Endpoint
    service: Service
    version: dict[str, Any]
    stock: pictures.Stock
    bodies: Bodies
    mix: Mapping[str, int]
    targets: list[Target]

    def plan(self, scenario: Scenario) -> Plan:
        """Return a plan for a scenario with the pictures at hand."""
        return Plan(scenario, self.mix, self.options.seed)

    def process(self) -> dict[str, float]:
        """Return what the service's process has used so far, where it runs on this machine."""
        return self.service.process() if self.endpoint.local else {}

    def conditions(self, session: Session, process_before: Mapping[str, float]) -> results.Conditions:
        """Return what a run was made under."""
        process = self.process()
        if process and process_before:
            process["used_cpu_sec"] = round(process["cpu_sec"] - process_before["cpu_sec"], 2)
        cpu_sec = session.cpu_sec or {"this process": session.own_cpu_sec()}
        return results.Conditions(
            when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            host="the service of this checkout" if self.options.served else self.endpoint.name,
            local=self.endpoint.local,
            service=self.version,
            process=process,
            machine=machine.describe(),
            generator={
                "locust": locust.__version__,
                "processes": len(cpu_sec),
                "cpu_share": {name: round(used / max(session.second(), 1e-9), 3) for name, used in cpu_sec.items()},
                "late_ms": results.spread(session.late_ms),
            },
            pictures={
                "from": self.options.pictures.name if self.options.pictures else "generated",
                **pictures.describe(self.stock),
            },
            target_file=_short(self.options.targets),
        )

    def conclude(
        self, session: Session, process_before: Mapping[str, float], interrupted: bool, distributed: bool
    ) -> results.Run:
        """Hold what was sent against the targets, and print the summary."""
        plan = session.plan
        assert plan is not None  # noqa: S101  # something was sent
        second = session.second()
        if not session.shaped:
            name = plan.scenario.name
            plan = replace(plan, scenario=replace(plan.scenario, phases=(Phase(name, second, clients=1),)))
        elif interrupted:
            plan = replace(plan, scenario=plan.scenario.until(second))
        elif distributed and not plan.scenario.closed:
            count_lost(plan, session.records)
        conditions = self.conditions(session, process_before)
        run = results.build(plan, session.records, second, self.targets, conditions, interrupted)
        click.echo(summary.terminal(run.result))
        return run

    def page(self, run: results.Run) -> str:
        """Return the report as a page: the file, or drawn where none was."""
        if self.options.report and self.options.charts:
            return (self.options.report / saved.HTML).read_text("utf-8")
        from loadtest.show import report  # loads Matplotlib

        return report.page(run)

    def save(self, run: results.Run) -> None:
        """Write the report where one is wanted; raises LoadTestError where it cannot be written."""
        folder, written = self.options.report, [saved.JSON, saved.JUNIT, saved.REQUESTS]
        if not folder:
            return
        with writing(folder):
            saved.save(run, folder)
            if self.options.charts:
                from loadtest.show import report  # loads Matplotlib

                report.save(run, folder)
                written = [saved.HTML, saved.PNG, *written]
        click.echo(f"\n  {folder / written[0]}  (also {', '.join(written[1:])})")


def stand_ready(options: Options, host: str, sends: bool = True, stock: pictures.Stock | None = None) -> Rig:
    """Set everything up, in the order in which mistakes are cheapest; `stock` are pictures that were made before.

    Raises:
        LoadTestError: something is missing or wrong, nobody answers at `host`, or someone else does.
    """
    where, wanted, service_targets = options.endpoint(host), mix.parse(options.mix), targets_of(options)
    service = Service(where)
    made_before = stock is not None and not options.pictures and wanted.keys() - {mix.SEVERAL} <= stock.keys()
    if not made_before:
        stock = make_pictures(options, {mix.SMALL})
    assert stock is not None  # noqa: S101  # it is one or the other
    version = service.check(Bodies(stock).next(mix.SMALL), _READY_LIMIT_SEC if options.served else 0.0)
    if options.report:
        make_folder(options.report)
    if sends and not made_before and not options.pictures:
        stock = make_pictures(options, wanted.keys())
    bodies = Bodies(stock, options.seed)
    sendable = _sendable(options, wanted, bodies) if options.pictures else wanted
    return Rig(options, where, service, version, stock, bodies, sendable, service_targets)


def make_pictures(options: Options, request_kinds: Collection[str]) -> pictures.Stock:
    """Read the pictures from their folder, or make those that the request kinds need."""
    if options.pictures:
        return pictures.from_folder(options.pictures, lambda text: click.echo(text, err=True))
    return pictures.generate(set(request_kinds), options.seed)


def targets_of(options: Options) -> list[Target]:
    """Return the scenario's targets; raises LoadTestError where the file has none that make sense."""
    from loadtest.judge.targets import choose

    return choose(options.targets, options.scenario)


def count_lost(plan: Plan, records: Records) -> None:
    """Add a failure for every arrival of the schedule that has no record: a worker took it along."""
    first = records.column("attempt") == 1
    phases, numbers = records.column("phase")[first], records.column("request_kind")[first]
    kinds = [records.request_kinds[number] for number in numbers]
    # A person's own tasks take arrivals, too; which kind would have been sent in their place nobody knows.
    by_kind = set(kinds) <= set(plan.mix)
    some = mix.main_request_kind(plan.mix)
    due = Counter((arrival.phase, kind if by_kind else some) for arrival, kind in plan.of(0, 1).schedule())
    due.subtract((int(phase), kind if by_kind else some) for phase, kind in zip(phases, kinds, strict=True))
    for (phase, kind), count in due.items():
        for _ in range(count):
            judgement = Judgement(Outcome.FAILED, LOST_WORKER)
            records.add(kind, phase, 1, plan.scenario.starts()[phase], 0.0, 0.0, judgement)


def _short(file: Path) -> str:
    """Return a path as it is seen from here; a report says nothing of this machine's folders."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else file.name


def _sendable(options: Options, wanted: mix.Mix, bodies: Bodies) -> dict[str, int]:
    """Return the part of the mix that the pictures are enough for; only the usual mix may lose some.

    Raises:
        LoadTestError: a mix that was asked for by name needs other pictures.
    """
    sendable = {request_kind: share for request_kind, share in wanted.items() if request_kind in bodies.request_kinds}
    if missing := [request_kind for request_kind in wanted if request_kind not in sendable]:
        if options.mix != "typical" or not sendable:
            raise LoadTestError(f"--mix {options.mix!r}: {options.pictures} holds no picture for {', '.join(missing)}.")
        click.echo(
            f"{options.pictures} holds no picture for {', '.join(missing)}: the others make up for them.", err=True
        )
    return sendable
