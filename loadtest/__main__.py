"""The command line: `python -m loadtest run | rate | compare | worker`.

Exit codes: 0 every target is met; 1 a target is missed; 2 wrong usage, no service, another service, no pictures, or a
target file that makes no sense; 3 targets are missed, all of them times that are too long; 130 interrupted.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from loadtest.errors import LoadTestError
from loadtest.judge import targets
from loadtest.plan.scenarios import NAMES, Wishes, make

if TYPE_CHECKING:
    from loadtest.rig import Options

EXIT_MISSED = 1
EXIT_USAGE = 2
EXIT_LATE = 3
EXIT_INTERRUPTED = 130

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEFAULT_PORT = 5557  # Locust's


_connect_to = click.option(
    "--connect-to",
    metavar="IP",
    help="Connect to this address, whatever address the name has; certificate and Host header stay the name's.",
)


def _test_options(command: _Command) -> _Command:
    """Add the options that every test has."""
    for option in reversed(
        [
            click.option("--host", metavar="URL", help="The service, such as https://pictures.example.com"),
            _connect_to,
            click.option("--serve", is_flag=True, help="Start the service of this checkout, and stop it afterwards."),
            click.option(
                "--targets",
                "target_file",
                default=targets.DEFAULT_FILE,
                type=click.Path(path_type=Path),
                help="The targets. [default: loadtest/targets.toml]",
            ),
            click.option(
                "--pictures",
                "folder",
                type=click.Path(path_type=Path),
                help="A folder of pictures instead of made ones.",
            ),
            click.option(
                "--mix",
                default="typical",
                show_default=True,
                help="What is sent: typical, or shares such as small=9,phone=1.",
            ),
            click.option(
                "--warm-up",
                "warm_up_sec",
                default=5.0,
                show_default=True,
                type=click.FloatRange(0, 3600),
                help="Seconds before it counts.",
            ),
            click.option("--seed", default=0, show_default=True, help="Another order of the same requests."),
            click.option("--insecure", is_flag=True, help="Accept any certificate."),
            click.option("--yes", is_flag=True, help="Do not ask before loading another machine. [env: CONFIRM=1]"),
            click.option("--quiet", is_flag=True, help="No progress on standard error."),
            click.option(
                "--workers",
                default=0,
                type=click.IntRange(0, 1000),
                help="Let so many workers send, and wait for them.",
            ),
            click.option("--bind", default="127.0.0.1", show_default=True, help="Where workers connect to."),
            click.option("--port", default=_DEFAULT_PORT, show_default=True, type=click.IntRange(1, 65535)),
        ]
    ):
        command = option(command)
    return command


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


@cli.command()
@_test_options
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
def run(scenario: str, target_file: Path, web: bool, web_port: int, **options: Any) -> None:
    """Run a scenario, hold it against its targets, write the report.

    Ends with 0 if every target is met; with 1 if one is missed; with 3 if all that are missed are times, known and too
    long; with 2 if nothing could be judged.
    """
    wishes = Wishes(**{name: options.pop(name) for name in Wishes.__dataclass_fields__})
    found = make(scenario, wishes)
    chosen = targets.choose(target_file, scenario)
    from loadtest import run_command as running

    settings = _options(**options)
    result = (
        running.in_the_page(settings, found, chosen, target_file, web_port)
        if web
        else running.once(settings, found, chosen, target_file)
    )
    if not result["met"]:
        raise SystemExit(EXIT_LATE if result["only_late"] else EXIT_MISSED)


@cli.command()
@_test_options
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
def rate(target_file: Path, file: Path, **options: Any) -> None:
    """Find the rated requests a second of one machine: the highest rate at which every target holds."""
    chosen = targets.choose(target_file, targets.RATE)
    from loadtest import rate_command

    names = rate_command.Search.__dataclass_fields__
    search = rate_command.Search(**{name: options.pop(name) for name in names})
    if not rate_command.run(_options(output=file.parent, **options), search, chosen, target_file, file):
        raise SystemExit(EXIT_MISSED)


@cli.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Also write a picture (PNG) of both.")
def compare(first: Path, second: Path, output: Path | None) -> None:
    """Compare two saved runs: folders with a results.json, or those files."""
    from loadtest.judge import results
    from loadtest.show import comparison

    a, b = results.load(first), results.load(second)
    click.echo(comparison.table(a, b, (str(first), str(second))))
    if output:
        output.write_bytes(comparison.plot(a, b, (str(first), str(second))))
        click.echo(f"\n  {output}")


@cli.command()
@click.option("--master", default="127.0.0.1", show_default=True, metavar="HOST", help="Where the master runs.")
@click.option("--port", default=_DEFAULT_PORT, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", required=True, metavar="URL", help="The service; the same as the master's.")
@_connect_to
@click.option(
    "--pictures", "folder", type=click.Path(path_type=Path), help="A folder of pictures instead of made ones."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
def worker(
    master: str, port: int, host: str, connect_to: str | None, folder: Path | None, seed: int, insecure: bool
) -> None:
    """Send a share of what a master plans (`run --workers N`), from this machine."""
    from loadtest import run_command as running

    running.work(master, port, host, connect_to, folder, seed, insecure)


def _options(host: str | None, serve: bool, yes: bool, **others: Any) -> Options:
    from loadtest.rig import Options

    if (host is None) == (not serve):
        raise LoadTestError("Give --host URL for a service that runs, or --serve to start the one of this checkout.")
    if serve and others["connect_to"] is not None:
        raise LoadTestError("--serve starts a service at an address of its own: give --host with --connect-to.")
    if serve and others["workers"]:
        raise LoadTestError("--serve starts a service for this machine alone: give --host with --workers.")
    return Options(host=host, yes=yes or os.environ.get("CONFIRM") == "1", **others)


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
