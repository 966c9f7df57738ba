"""The command line of comparing: `python -m service compare`."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from service.build.command import ClickReporter
from service.build.compare.result import recommend, table
from service.console import EXIT_MODEL, fail, model_errors, tidy_when_terminated
from service.model.processors import available_cpus


@click.command()
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    help="Your own pictures, a folder for each class: half calibrates INT8, the other half measures accuracy.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("models/compare"),
    show_default=True,
    help="Where the bundles and the picture go; a bundle that is there is used again, unless you give pictures.",
)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="How often each has its turn.")
@click.option(
    "--seconds", default=1.0, show_default=True, type=click.FloatRange(0.05, 60), help="How long a turn takes."
)
def compare(pictures: Path | None, output: Path, rounds: int, seconds: float) -> None:
    """Run every network of the table on this machine, in FP32 and INT8, and recommend one."""
    if pictures and not pictures.is_dir():
        raise click.UsageError(f"{pictures} is no folder; --pictures takes a folder of pictures.")
    try:
        from service.build.compare import chart, run

        report = ClickReporter()
        build = run.build_with(output, pictures, report)
    except ImportError as error:
        fail(EXIT_MODEL, f"Comparing needs PyTorch and more ({error}): pip install -r requirements/modeling.txt")
    tidy_when_terminated()
    with model_errors():
        output.mkdir(parents=True, exist_ok=True)
        results, failures = run.compare(run.rows(), build, rounds, seconds, report)
        click.echo(table(results, failures))
        if not results:
            fail(EXIT_MODEL, "no network could be run")
        file = output / "compare.png"
        chart.draw(results, f"{available_cpus()} processors, {_processor()}", file)
        click.echo(f"{file}: the same as a picture")
        click.echo(recommend(results))
        if pictures and not any(result.measured for result in results):
            click.echo(
                f"Accuracy is as published: no network ran with its own weights, or no folder in {pictures} is called "
                "as its class (name, WordNet id or number)."
            )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    found = next((line.split(":", 1)[1].strip() for line in names if line.startswith("model name")), None)
    return found or platform.machine()
