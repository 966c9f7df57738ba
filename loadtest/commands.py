"""What the commands that send do: one run, runs started in Locust's page, the search for the rate, a worker's share."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click
import gevent
import locust  # noqa: F401  # before what imports ssl: it replaces the standard library's sockets

from loadtest.errors import LoadTestError
from loadtest.judge import rating, results, saved
from loadtest.judge.document import RunDocument
from loadtest.judge.rating import Search, Step
from loadtest.judge.targets import Target
from loadtest.measure import distributed
from loadtest.measure.endpoint import Endpoint
from loadtest.measure.runner import Sent
from loadtest.measure.session import Session
from loadtest.options import Options
from loadtest.plan import pictures
from loadtest.plan.bodies import Bodies
from loadtest.plan.mix import REQUEST_KINDS
from loadtest.plan.scenarios import SMOKE
from loadtest.plan.schedule import Scenario
from loadtest.rig import Rig, prepared
from loadtest.show import rated


def run(options: Options, scenario: Scenario, targets: list[Target], target_file: Path) -> RunDocument:
    """Run a scenario once; returns its result."""
    with prepared(options, _load_in_words(scenario)) as rig:
        rig.progress.say(f"{scenario.name}: {scenario.purpose}")
        before = rig.process()
        sent = rig.plan_runner.run(rig.plan(scenario))
        return rig.report(sent, before, targets, target_file)


def run_in_the_page(
    options: Options, scenario: Scenario, targets: list[Target], target_file: Path, port: int
) -> RunDocument:
    """Serve Locust's page until Ctrl-C; each start there is a run. Returns the last one's result.

    Raises:
        LoadTestError: the port is taken.
        KeyboardInterrupt: no run was finished.
    """
    with prepared(options, _load_in_words(scenario)) as rig:
        rig.plan_runner.prepare(rig.plan(scenario))
        finished: list[RunDocument] = []
        before: list[dict[str, float]] = []
        environment = rig.plan_runner.environment

        def judge() -> None:
            if rig.plan_runner.session.second() < scenario.seconds:
                click.echo("Stopped in the page before its end: not judged.")
                before.clear()
                return
            finished.append(rig.report(rig.plan_runner.finish(), before.pop(), targets, target_file))

        environment.events.test_start.add_listener(lambda **_: before.append(rig.process()))
        # Also fired when a test that was never started ends.
        environment.events.test_stop.add_listener(lambda **_: gevent.spawn(judge) if before else None)
        # Locust's page reads the command line for options of its own.
        del sys.argv[1:]
        try:
            page = environment.create_web_ui(host="127.0.0.1", port=port, delayed_start=True)
            _add_report(page, rig, finished)
            page.start()
        except OSError as error:
            raise LoadTestError(
                f"Locust's page cannot be served on port {port}: {error}. Choose --web-port."
            ) from error
        click.echo(
            f"Start {scenario.name} at http://127.0.0.1:{port}; its report is then at /loadtest. Ctrl-C ends this."
        )
        try:
            rig.plan_runner.locust_runner.greenlet.join()
        except KeyboardInterrupt:
            if not finished:
                raise
        finally:
            page.stop()
        return finished[-1]


def rate(options: Options, search: Search, targets: list[Target], target_file: Path, file: Path) -> bool:
    """Find the rated requests a second and write `file`, with a PNG beside it; returns whether any rate held.

    Raises:
        LoadTestError: the search would go down, or a step would take too long.
    """
    if search.most < search.first:
        raise LoadTestError(f"--to {search.most:g} is below --from {search.first:g}: the search goes up.")
    with prepared(options, f"ever more requests, up to {search.most:g} a second, for some minutes") as rig:
        sent: list[Sent] = []

        def measure(per_sec: float, repeat: int) -> Step:
            scenario = rating.scenario(per_sec, targets, rig.mix, search.step_sec, search.spacing)
            plan = dataclasses.replace(rig.plan(scenario), seed=options.seed + len(sent))
            sent.append(rig.plan_runner.run(plan))
            step = Step(per_sec, results.judge(sent[-1].records, scenario, targets), repeat)
            rig.progress.say(f"{repeat + 1} of {search.repeats}: {step}")
            return step

        before = rig.process()
        if search.warm_up_sec:
            warm_up = rating.scenario(search.first, [], rig.mix, search.warm_up_sec, "constant")
            rig.plan_runner.run(rig.plan(warm_up))
        searched = rating.rate(measure, search.first, search.most, search.precision, search.repeats)
        conditions = dataclasses.asdict(rig.conditions(sent[-1], before, target_file))
    result = {
        **searched.to_dict(),
        "precision": search.precision,
        "arrivals": search.spacing,
        "targets": [f"{target.name} {target.condition}" for target in targets],
        "mix": dict(rig.mix),
        "conditions": conditions,
    }
    click.echo(rated.terminal(searched, result))
    if not searched.per_sec:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
    picture = file.with_suffix(".png")
    picture.write_bytes(rated.plot(searched, targets, result))
    click.echo(f"\n  {file}  (also {picture.name})")
    return True


def work(master: str, port: int, where: Endpoint, folder: Path | None, seed: int) -> None:
    """Be a worker until the master ends."""
    stock = pictures.from_folder(folder, click.echo) if folder else pictures.generate(set(REQUEST_KINDS), seed)
    click.echo(f"Working for {master}:{port}")
    session = Session(where, Bodies(stock, seed))
    distributed.work(session, master, port)


def _load_in_words(scenario: Scenario) -> str | None:
    """Return what a service gets, None for a smoke test."""
    if scenario.name == SMOKE:
        return None
    count = f"{scenario.arrivals:,} requests" if scenario.arrivals else "requests of waiting clients"
    return f"{count} within {scenario.seconds:g} s ({scenario.name}: {scenario.purpose})"


def _add_report(page: Any, rig: Rig, finished: list[RunDocument]) -> None:
    """Show the last report at /loadtest of Locust's page."""
    file = rig.options.output / saved.HTML

    @page.app.route("/loadtest")  # type: ignore[untyped-decorator]  # Locust's page is untyped
    def latest() -> tuple[str, int]:
        if not finished:
            return "No run was finished yet.", 404
        return file.read_text("utf-8"), 200
