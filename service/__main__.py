"""The command line: `python -m service build | compare | pack | serve | classify`.

Exit codes: 0 done; 1 a picture could not be classified; 2 wrong usage or a setting that cannot be used; 3 the model
bundle, its weights or its engine cannot be used; 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from service import __version__
from service.console import EXIT_INTERRUPTED, EXIT_PICTURE, EXIT_USAGE, fail, model_errors
from service.errors import Problem
from service.model import bundle
from service.model.bundle import LANGUAGES
from service.model.engines.table import PRECISIONS, networks_to_serve
from service.settings import SettingError, Settings, current


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="service")
def cli() -> None:
    """Image classification on your own machines: build a model, serve it, classify files."""


# The production image has no such room.
if importlib.util.find_spec("service.build"):
    from service.build.command import build
    from service.build.compare.command import compare

    cli.add_command(build)
    cli.add_command(compare)


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", *PRECISIONS]),
    help="What it is served in: auto is what its accuracy gate allowed.",
)
def pack(source: Path, target: Path, precision: str) -> None:
    """Copy a verified bundle with only the networks that it is served with, for the production image."""
    with model_errors():
        unpacked = bundle.read(source)
        served = unpacked.manifest.default_precision if precision == "auto" else precision
        made = bundle.pack(unpacked, target, networks_to_serve(served), served)
        click.echo(
            f"{made.path}: {made.manifest.weights.name}, {', '.join(made.manifest.networks)}, SHA-256 {made.sha256}"
        )


@cli.command()
def serve() -> None:
    """Serve the model over HTTP, as the environment says (docs/settings.md lists the settings)."""
    from service.serve import start

    settings = _settings()
    with model_errors():
        start.check_model(settings)
    try:
        start.check_address(settings)
        start.check_log_file(settings)
    except SettingError as error:
        fail(EXIT_USAGE, str(error))
    start.become_server()


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--top-k", default=3, show_default=True, type=click.IntRange(1))
@click.option("--lang", default="en", show_default=True, type=click.Choice([*LANGUAGES]))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line instead of a table.")
def classify(files: tuple[Path, ...], top_k: int, lang: str, as_json: bool) -> None:
    """Classify picture files, as the environment says."""
    settings = _settings()
    with model_errors():
        from service.model.classifier import BundleClassifier

        classifier = BundleClassifier.open(settings.model_dir, settings.engine, settings.precision, settings.threads)
    from service.model.images import configure_pillow, load

    configure_pillow()
    failed = False
    hidden = as_json or len(files) < 2 or not sys.stderr.isatty()
    with click.progressbar(files, label="Classifying", file=sys.stderr, hidden=hidden) as bar:
        for file in bar:
            answer: dict[str, Any] = {"file": str(file)}
            try:
                pixels = load(file.read_bytes(), classifier.geometry, settings.limits)
                labels = classifier.top(classifier.classify(pixels), top_k, lang)
                answer["predictions"] = [dataclasses.asdict(prediction) for prediction in labels]
            except OSError as error:
                answer["error"] = {"title": "The file cannot be read", "detail": error.strerror or str(error)}
            except Problem as problem:
                answer["error"] = problem.body()
            failed = failed or "error" in answer
            click.echo(json.dumps(answer, ensure_ascii=False) if as_json else _table(answer))
    if failed:
        raise SystemExit(EXIT_PICTURE)


def _table(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"{answer['file']}\n  {answer['error']['title']}: {answer['error']['detail']}"
    rows = [f"  {100 * p['probability']:5.1f} %  {p['label']}" for p in answer["predictions"]]
    return "\n".join([answer["file"], *rows])


def _settings() -> Settings:
    try:
        return current()
    except SettingError as error:
        fail(EXIT_USAGE, str(error))


def main() -> None:
    """Run the command line; an interruption ends it without a trace."""
    # ONNX Runtime's wheels send events to their maker, from its import on (docs/decisions.md).
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        cli.main(prog_name="python -m service", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


if __name__ == "__main__":
    main()
