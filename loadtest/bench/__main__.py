"""The command line: `python -m loadtest.bench` (`make bench`).

Exit codes: 0 measured, whatever the goals say; 2 wrong usage; 3 a bundle, an engine or a server cannot be used; 130
interrupted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

EXIT_MODEL = 3
EXIT_INTERRUPTED = 130


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="How often everything is repeated."
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="The bundle to measure, with both precisions and TorchScript. [default: the full-size untrained network]",
)
@click.option(
    "--output", default="reports", show_default=True, type=click.Path(path_type=Path), help="Where it is saved."
)
@click.option("--memory", "requests", type=click.IntRange(2000), help="Instead: memory over so many mixed requests.")
@click.option(
    "--goals",
    "saved",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Instead: the goals of a saved bench.json, as a Markdown table.",
)
def bench(rounds: int, bundle: Path | None, output: Path, requests: int | None, saved: Path | None) -> None:
    """Measure this service beside what people run instead: a table, a plot, and the goals."""
    if saved:
        click.echo(_goals_table(saved))
        return
    try:
        from loadtest.bench import command
    except ImportError as error:
        click.echo(f"Error: Measuring needs more packages ({error}): make bench installs them", err=True)
        raise SystemExit(EXIT_MODEL) from None
    try:
        path = bundle or command.untrained(_say)
        if requests:
            click.echo(command.memory(path, requests, output, _say))
        else:
            click.echo(command.everything(path, rounds, output, _say))
    except command.ERRORS as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(EXIT_MODEL) from None


def _goals_table(file: Path) -> str:
    from loadtest.bench import report

    try:
        return report.goals_table(json.loads(file.read_text("utf-8")))
    except (ValueError, KeyError, TypeError):
        raise click.BadParameter(f"{file} is no saved benchmark.", param_hint="--goals") from None


def _say(message: str) -> None:
    click.echo(message, err=True)


def main() -> None:
    """Run the command line; an interruption ends it without a trace."""
    try:
        bench.main(prog_name="python -m loadtest.bench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
