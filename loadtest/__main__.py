"""The command line: `python -m loadtest run | rate | compare | worker`.

Exit codes: 0 every target is met; 1 a target is missed; 2 wrong usage, no service, another service, no pictures, or a
target file that makes no sense; 3 targets are missed, all of them times that are too long; 130 interrupted.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from loadtest.errors import LoadTestError
from loadtest.judge import targets
from loadtest.measure.endpoint import endpoint
from loadtest.options import CONNECT_TO_HELP, DEFAULT_PORT, TRUST, CommandOfATest, Options
from loadtest.plan.scenarios import NAMES, Overrides, make

EXIT_MISSED = 1
EXIT_USAGE = 2
EXIT_LATE = 3
EXIT_INTERRUPTED = 130

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _arrivals(default: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--arrivals",
        "spacing",
        default=default,
        show_default=True,
        type=click.Choice(["constant", "poisson"]),
        help="Evenly spaced, or at random as people's requests are.",
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Load tests with targets: is the service as fast as promised, and how much does one machine take?"""


@cli.command(cls=CommandOfATest)
@_arrivals("constant")
@click.option("--scenario", default="smoke", show_default=True, type=click.Choice(NAMES))
@click.option("--rate", "per_sec", type=float, help="Requests a second; of steps the first, of a spike the usual one.")
@click.option("--to", "to_per_sec", type=float, help="The highest rate of steps and spike.")
@click.option("--seconds", type=float, help="How long: all of it, each of the steps, or the spike.")
@click.option("--closed", "clients", type=click.IntRange(1, 900), help="So many clients that wait for their answers.")
@click.option(
    "--retries/--no-retries",
    default=None,
    help="Come back after a refusal when Retry-After is over. [default: steps do not]",
)
@click.option(
    "--output", default="reports/loadtest", show_default=True, type=click.Path(path_type=Path), help="Where reports go."
)
@click.option("--web", is_flag=True, help="Wait to be started in Locust's page, and show the test there.")
@click.option("--web-port", default=8089, show_default=True, type=click.IntRange(1, 65535))
def run(scenario: str, target_file: Path | None, web: bool, web_port: int, **others: Any) -> None:
    """Run a scenario, hold it against its targets, write the report.

    Ends with 0 if every target is met; with 1 if one is missed; with 3 if all that are missed are times, known and too
    long; with 2 if nothing could be judged.
    """
    overrides = Overrides(**{name: others.pop(name) for name in Overrides.__dataclass_fields__})
    planned = make(scenario, overrides)
    target_file = target_file or targets.DEFAULT_FILE
    chosen_targets = targets.choose(target_file, scenario)
    options = Options.of(**others)
    from loadtest import commands

    result = (
        commands.run_in_the_page(options, planned, chosen_targets, target_file, web_port)
        if web
        else commands.run(options, planned, chosen_targets, target_file)
    )
    if not result["met"]:
        raise SystemExit(EXIT_LATE if result["only_late"] else EXIT_MISSED)


@cli.command(cls=CommandOfATest)
@_arrivals("poisson")
@click.option("--from", "first", default=10.0, show_default=True, type=click.FloatRange(0.1, 10_000), help="A second.")
@click.option("--to", "most", default=1000.0, show_default=True, type=click.FloatRange(0.1, 10_000), help="A second.")
@click.option(
    "--step-seconds", "step_sec", default=20.0, show_default=True, type=click.FloatRange(1, 600), help="At least."
)
@click.option(
    "--precision", default=0.05, show_default=True, type=click.FloatRange(0.005, 0.5), help="Of the rate, as a share."
)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1, 50), help="Searches to make.")
@click.option(
    "--output",
    "file",
    default="reports/loadtest/rate.json",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The small file; a picture (PNG) is written beside it.",
)
def rate(target_file: Path | None, file: Path, **others: Any) -> None:
    """Find the rated requests a second of one machine: the highest rate at which every target holds."""
    target_file = target_file or targets.DEFAULT_FILE
    chosen_targets = targets.choose(target_file, targets.RATE)
    from loadtest.judge.rating import Search

    search = Search(**{name: others.pop(name) for name in Search.__dataclass_fields__})
    options = Options.of(output=file.parent, **others)
    from loadtest import commands

    if not commands.rate(options, search, chosen_targets, target_file, file):
        raise SystemExit(EXIT_MISSED)


@cli.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Also write a picture (PNG) of both.")
def compare(first: Path, second: Path, output: Path | None) -> None:
    """Compare two sides, each a saved run (a folder with a results.json) or a folder of runs that took turns."""
    from loadtest.show import comparison

    click.echo(comparison.command(first, second, output))


@cli.command(params=[*TRUST])
@click.option("--master", default="127.0.0.1", show_default=True, metavar="HOST", help="Where the master runs.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", required=True, metavar="URL", help="The service; the same as the master's.")
@click.option("--connect-to", metavar="IP", help=CONNECT_TO_HELP)
@click.option(
    "--pictures", "folder", type=click.Path(path_type=Path), help="A folder of pictures instead of made ones."
)
@click.option("--seed", default=0, show_default=True)
def worker(master: str, port: int, folder: Path | None, seed: int, **where: Any) -> None:
    """Send a share of what a master plans (`run --workers N`), from this machine."""
    service = endpoint(**where)
    from loadtest import commands

    commands.work(master, port, service, folder, seed)


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
        raise SystemExit(EXIT_USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted: everything was stopped, nothing was judged.", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


if __name__ == "__main__":
    main()
