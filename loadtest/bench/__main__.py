"""The command line: `python -m loadtest.bench` (`make bench`).

Exit codes: 0 measured, whatever the goals say; 2 wrong usage; 3 a bundle, an engine or a server cannot be used; 130
interrupted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click

EXIT_MODEL = 3
EXIT_INTERRUPTED = 130
MODELS = Path("models")
REPOSITORY = Path(__file__).parents[2]


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
    "--publish", is_flag=True, help="Instead: quote the run in --output in the documents, and copy it to docs/."
)
def bench(rounds: int, bundle: Path | None, output: Path, requests: int | None, publish: bool) -> None:
    """Measure this service beside what people run instead: a table, a picture, and the goals."""
    try:
        from loadtest.bench import memory_growth, report, run
        from loadtest.bench.contenders import OURS, contenders
        from loadtest.bench.started import Running
        from loadtest.errors import LoadTestError
        from service.errors import ServiceError
    except ImportError as error:
        click.echo(f"Error: Measuring needs more packages ({error}): make bench installs them", err=True)
        raise SystemExit(EXIT_MODEL) from None
    try:
        if publish:
            click.echo("These quote it now: " + ", ".join(map(str, report.publish(output, REPOSITORY))))
            return
        path = bundle or _built("untrained", "--torchscript")
        if requests:
            sent = run.make_pictures()
            running = Running(next(item for item in contenders(path) if item.name == OURS))
            try:
                running.wait_until_ready(sent["small"])
                grown = memory_growth.measure(running, sent["large"], requests, _say)
            finally:
                running.server.stop()
            output.mkdir(parents=True, exist_ok=True)
            (output / "memory.json").write_text(json.dumps(grown, indent=1) + "\n", "utf-8")
            click.echo(f"{grown['requests']} requests {grown['statuses']}: growth {grown['growth']:+.1%}")
            return
        try:
            lite0 = _built("lite0")
        except LoadTestError as error:
            _say(f"Left out: {error}")
            lite0 = None
        result = run.run(path, contenders(path, lite0), run.Schedule(rounds=rounds), _say)
        report.save(result, output)
        _say(f"Saved in {output}: {report.JSON}, {report.PNG}, {report.HTML}")
        click.echo(report.table(result))
    except (ServiceError, LoadTestError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(EXIT_MODEL) from None


def _built(weights: str, *options: str) -> Path:
    """Return a bundle of these weights, built where it is not there; raises LoadTestError, the build has said why."""
    from loadtest.errors import LoadTestError

    path = MODELS / weights
    what = ["--weights", weights, "--output", str(path), "--reuse", *options]
    if subprocess.run([sys.executable, "-m", "service", "build", *what], check=False, stdout=sys.stderr).returncode:
        raise LoadTestError(f"{path} cannot be built.")
    return path


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
