"""One run: in the terminal, or started and watched in Locust's own page; and what a worker does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import gevent
import locust  # noqa: F401  # before what imports ssl: it replaces the standard library's sockets

from loadtest.errors import LoadTestError
from loadtest.judge.results import HTML
from loadtest.judge.targets import Target
from loadtest.measure import access
from loadtest.measure.runner import work as drive_work
from loadtest.measure.session import Session
from loadtest.plan import pictures
from loadtest.plan.bodies import Bodies
from loadtest.plan.mix import KINDS
from loadtest.plan.scenarios import SMOKE, Scenario
from loadtest.rig import Bench, Options, bench, report_on


def once(options: Options, scenario: Scenario, targets: list[Target], target_file: Path) -> dict[str, Any]:
    """Run a scenario once; returns its result."""
    with bench(options, _what(scenario)) as found:
        found.progress.say(f"{scenario.name}: {scenario.purpose}")
        before = found.process()
        sent = found.driver.run(found.plan(scenario))
        return report_on(found, sent, before, targets, target_file)


def in_the_page(
    options: Options, scenario: Scenario, targets: list[Target], target_file: Path, port: int
) -> dict[str, Any]:
    """Serve Locust's page until Ctrl-C; each start there is a run. Returns the last one's result.

    Raises:
        LoadTestError: the port is taken.
        KeyboardInterrupt: no run was finished.
    """
    with bench(options, _what(scenario)) as found:
        found.driver.prepare(found.plan(scenario))
        last: list[dict[str, Any]] = []
        before: list[dict[str, float]] = []
        events = found.driver.environment.events

        def judge() -> None:
            if found.driver.session.second() < scenario.seconds:
                click.echo("Stopped in the page before its end: not judged.")
                before.clear()
                return
            last.append(report_on(found, found.driver.finish(), before.pop(), targets, target_file))

        events.test_start.add_listener(lambda **_: before.append(found.process()))
        # Also fired when a test that was never started ends.
        events.test_stop.add_listener(lambda **_: gevent.spawn(judge) if before else None)
        # Locust's page reads the command line for options of its own.
        del sys.argv[1:]
        try:
            page = found.driver.environment.create_web_ui(host="127.0.0.1", port=port, delayed_start=True)
            _add_report(page, found, last)
            page.start()
        except OSError as error:
            raise LoadTestError(
                f"Locust's page cannot be served on port {port}: {error}. Choose --web-port."
            ) from error
        click.echo(
            f"Start {scenario.name} at http://127.0.0.1:{port}; its report is then at /loadtest. Ctrl-C ends this."
        )
        try:
            found.driver.runner.greenlet.join()
        except KeyboardInterrupt:
            if not last:
                raise
        finally:
            page.stop()
        return last[-1]


def _what(scenario: Scenario) -> str | None:
    """Return what a service gets, None for a smoke test."""
    if scenario.name == SMOKE:
        return None
    count = f"{scenario.arrivals:,} requests" if scenario.arrivals else "requests of waiting clients"
    return f"{count} within {scenario.seconds:g} s ({scenario.name}: {scenario.purpose})"


def _add_report(page: Any, found: Bench, runs: list[dict[str, Any]]) -> None:
    """Show the last report at /loadtest of Locust's page."""
    file = found.options.output / HTML

    @page.app.route("/loadtest")  # type: ignore[untyped-decorator]  # Locust's page is untyped
    def latest() -> tuple[str, int]:
        if not runs:
            return "No run was finished yet.", 404
        return file.read_text("utf-8"), 200


def work(
    master: str, port: int, host: str, connect_to: str | None, folder: Path | None, seed: int, insecure: bool
) -> None:
    """Be a worker until the master ends."""
    target = access.target(host, insecure, connect_to)
    stock = pictures.from_folder(folder, click.echo) if folder else pictures.generate(set(KINDS), seed)
    click.echo(f"Working for {master}:{port}")
    session = Session(target.url, Bodies(stock, seed), target.headers, target.insecure, target.connect_to)
    drive_work(session, master, port)
