"""The command line: `python -m loadtest run | rate | compare`.

`run` is a thin front to Locust: it starts the service where that is asked for, obtains consent, and runs
`locust -f loadtest/locustfile.py` in this process with every option that it does not know itself.

Exit codes: 0 every target is met; 1 a target is missed; 2 wrong usage, no service, another service, no pictures, or a
target file that makes no sense; 3 targets are missed, all of them times that are too long; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from loadtest import options as options_
from loadtest.errors import LoadTestError
from loadtest.exit_codes import INTERRUPTED, MISSED, USAGE
from loadtest.judge.targets import RATE, choose
from loadtest.options import Options
from loadtest.plan.scenarios import SMOKE
from loadtest.plan.schedule import Scenario

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _where(command: _Command) -> _Command:
    """Add the options about the service under test."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask before loading another machine. [env: CONFIRM=1]"),
        click.option("--serve", is_flag=True, help="Start the service of this checkout, and stop it afterwards."),
        click.option("--host", metavar="URL", help="The service, such as https://pictures.example.com"),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Load tests with targets: is the service as fast as promised, and how much does one machine take?"""


class _WithLocusts(click.Command):
    """A command that passes on what it does not know; its help says so, and shows the load test's own options."""

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("\n" + options_.parser().format_help())
        formatter.write("\nrun takes all of Locust's options, too: --processes, --csv, --html (`locust --help`).\n")


@cli.command(cls=_WithLocusts, context_settings=_PASS_ON)
@_where
@click.option(
    "--output", default="reports/loadtest", show_default=True, type=click.Path(path_type=Path), help="Where reports go."
)
@click.option("--web", is_flag=True, help="Wait to be started in Locust's page, and show the test there.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@click.pass_context
def run(context: click.Context, host: str | None, serve: bool, yes: bool, output: Path, web: bool, quiet: bool) -> None:
    """Run a scenario, hold it against its targets, write the report.

    Ends with 0 if every target is met; with 1 if one is missed; with 3 if all that are missed are times, known and too
    long; with 2 if nothing could be judged; with 130 if it was interrupted.
    """
    options, _ = options_.parse(context.args)
    scenario = options.planned()
    choose(options.targets, options.scenario)
    with _target(options, host, serve, output) as url:
        _obtain_consent(options, url, _load_in_words(scenario), yes)
        words = ["--host", url, "--report", str(output), *context.args]
        words += ["--served"] if serve else []
        words += ["--web-host", "127.0.0.1"] if web else ["--headless"]
        words += ["--no-progress" if quiet else "--progress"]
        _locust(words)


def _locust(words: list[str]) -> None:
    """Run Locust's own command; it ends this process."""
    from locust.main import main as locust_main

    sys.argv = ["locust", "-f", str(LOCUSTFILE), "--loglevel", "WARNING", "--only-summary", *words]
    front = os.getpid()
    try:
        locust_main()
    finally:
        if os.getpid() != front:  # a worker of --processes: what was started here is not its to stop
            error = sys.exc_info()[1]
            os._exit(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1)


@cli.command(cls=_WithLocusts, context_settings=_PASS_ON)
@_where
@click.option("--from", "first", default=10.0, show_default=True, type=click.FloatRange(0.1, 10_000), help="A second.")
@click.option("--to", "most", default=1000.0, show_default=True, type=click.FloatRange(0.1, 10_000), help="A second.")
@click.option(
    "--step-seconds", "step_sec", default=20.0, show_default=True, type=click.FloatRange(1, 600), help="At least."
)
@click.option(
    "--precision", default=0.05, show_default=True, type=click.FloatRange(0.005, 0.5), help="Of the rate, as a share."
)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1, 50), help="Searches to make.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@click.option(
    "--output",
    "file",
    default="reports/loadtest/rate.json",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The small file; a picture (PNG) is written beside it.",
)
@click.pass_context
def rate(
    context: click.Context, /, host: str | None, serve: bool, yes: bool, quiet: bool, file: Path, **search: Any
) -> None:
    """Find the rated requests a second of one machine: the highest rate at which every target holds."""
    from loadtest.judge.rating import Search

    options, unknown = options_.parse(["--arrivals", "poisson", *context.args])
    if unknown:
        raise click.UsageError(f"No such option: {unknown[0]}")
    options = replace(options, scenario=RATE, served=serve)
    wanted = Search(warm_up_sec=options.warm_up, spacing=options.arrivals, **search)
    choose(options.targets, RATE)
    if wanted.most < wanted.first:
        raise LoadTestError(f"--to {wanted.most:g} is below --from {wanted.first:g}: the search goes up.")
    with _target(options, host, serve, file.parent) as url:
        load = f"ever more requests, up to {wanted.most:g} a second, for some minutes"
        _obtain_consent(options, url, load, yes)
        from loadtest import rate as rating

        if not rating.search(options, url, wanted, file, quiet):
            raise SystemExit(MISSED)


@cli.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Also write a picture (PNG) of both.")
def compare(first: Path, second: Path, output: Path | None) -> None:
    """Compare two sides, each a saved run (a folder with a results.json) or a folder of runs that took turns."""
    from loadtest.show import comparison

    click.echo(comparison.command(first, second, output))


@contextlib.contextmanager
def _target(options: Options, host: str | None, serve: bool, folder: Path) -> Iterator[str]:
    """Yield the address of the service under test; with `serve` it is started here, and stopped afterwards.

    Raises:
        LoadTestError: options contradict one another, the address is none, or the service does not start.
    """
    if (host is None) == (not serve):
        raise LoadTestError("Give --host URL for a service that runs, or --serve to start the one of this checkout.")
    if host is not None:
        options.endpoint(host)
        yield host
        return
    for name, value, why in (
        ("connect-to", options.connect_to, "at an address of its own"),
        ("ca", options.ca, "without certificates"),
    ):
        if value is not None:
            raise LoadTestError(f"--serve starts a service {why}: give --host with --{name}.")
    click.echo("Starting the service of this checkout", err=True)
    import locust  # noqa: F401  # first: it replaces the standard library's ssl, which the next line loads

    from loadtest.measure import servers

    with servers.serving(folder) as url:
        yield url


def _load_in_words(scenario: Scenario) -> str | None:
    """Return what a service gets, None for a smoke test."""
    if scenario.name == SMOKE:
        return None
    count = f"{scenario.arrivals:,} requests" if scenario.arrivals else "requests of waiting clients"
    return f"{count} within {scenario.seconds:g} s ({scenario.name}: {scenario.purpose})"


def _obtain_consent(options: Options, url: str, load: str | None, yes: bool) -> None:
    """Ask for consent where a test is more than a smoke and goes to another machine."""
    where = options.endpoint(url)
    confirmed = os.environ.get("CONFIRM", "").strip().lower() in ("1", "true", "yes", "y", "on")
    if where.local or load is None or yes or confirmed:
        return
    question = f"{where.name} will get {load}. Go on?"
    try:
        consent = click.confirm(question, err=True)
    except click.Abort as error:
        raise LoadTestError(f"{question} Nobody is there to answer: give --yes, or CONFIRM=1 with make.") from error
    if not consent:
        raise LoadTestError("Nothing was sent.")


def main() -> None:
    """Run the command line; a mistake is one sentence, an interruption leaves nothing running."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # like Ctrl-C
    try:
        cli.main(prog_name="python -m loadtest", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except LoadTestError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted: everything was stopped, nothing was judged.", err=True)
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
