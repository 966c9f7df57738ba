"""The command line: `python -m service build | pack | serve | classify`.

Exit codes: 0 done; 1 a picture could not be classified; 2 wrong usage or a setting that cannot be used; 3 the model
bundle, its weights or its engine cannot be used; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from service import __version__
from service.errors import Problem, ServiceError
from service.model import bundle
from service.model.bundle import LANGUAGES
from service.model.engines.table import networks_to_serve
from service.settings import SettingError, Settings, current

if TYPE_CHECKING:
    from service.build.builder import Options, Step

EXIT_PICTURE = 1
EXIT_USAGE = 2
EXIT_MODEL = 3
EXIT_INTERRUPTED = 130

AUTO = "auto"

# For glibc (docs/decisions.md): few heaps, and what decoding takes for a picture goes back to the system at once.
_MALLOC = {
    "MALLOC_ARENA_MAX": "4",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 18),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 20),
}


class _ClickReporter:
    """Progress bars on standard error; one line each where that is no terminal."""

    def say(self, message: str) -> None:
        click.echo(message, err=True)

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Step]:
        with click.progressbar(length=total, label=f"{label:<32}", file=sys.stderr) as bar:

            def step(count: int = 1, total: int | None = None) -> None:
                if total is not None:
                    bar.length = total
                bar.update(count)

            yield step


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="service")
def cli() -> None:
    """Image classification on your own machines: build a model, serve it, classify files."""


@cli.command()
@click.option(
    "--weights",
    default="official",
    show_default=True,
    metavar="NAME|FILE",
    help="official (torchvision's, downloaded once), digits (a small stand-in, trained here), untrained (full size, "
    "for measuring speed), auto (official or, where it cannot be reached, digits), or a checkpoint of your own.",
)
@click.option("--arch", default="resnet18", show_default=True, type=click.Choice(["resnet18", "resnet34", "resnet50"]))
@click.option("--output", type=click.Path(path_type=Path), help="Where the bundle goes. [default: models/ARCH]")
@click.option(
    "--input-size", type=click.IntRange(32, 1024), help="Side of the input in pixels. [default: the weights']"
)
@click.option("--torchscript", is_flag=True, help="Also write network.ts, for ENGINE=torch.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="A folder of your own pictures, half for calibrating INT8 and half for judging it.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Your classes' names, one a line (a tab before Chinese).",
)
@click.option("--reuse", is_flag=True, help="Keep a bundle that is there already and was built from the same weights.")
def build(
    weights: str,
    arch: str,
    output: Path | None,
    input_size: int | None,
    torchscript: bool,
    calibration: Path | None,
    labels: Path | None,
    reuse: bool,
) -> None:
    """Build a model bundle: weights, ONNX in FP32 and INT8, accuracy gate, samples."""
    output = output or Path("models") / arch
    if reuse and (kept := _reusable(output, weights, arch)):
        click.echo(f"Using {output} ({kept.manifest.weights.name}); without --reuse it is built again.", err=True)
        return
    try:
        from service.build.builder import Options
    except ImportError as error:
        _fail(EXIT_MODEL, f"Building needs PyTorch and more ({error}): pip install -r requirements/modeling.txt")
    options = Options(
        output=output,
        weights="official" if weights == AUTO else weights,
        architecture=arch,
        input_size=input_size,
        torchscript=torchscript,
        calibration=calibration,
        labels=labels,
    )
    with _model_errors():
        made = _build_or_stand_in(options) if weights == AUTO else _build(options)
        click.echo(f"{made.path}: {made.manifest.weights.name} {made.manifest.architecture}, SHA-256 {made.sha256}")


def _build(options: Options) -> bundle.Bundle:
    from service.build import builder as build

    return build.build(options, _ClickReporter())


def _build_or_stand_in(options: Options) -> bundle.Bundle:
    from service.build.download import Unreachable

    try:
        return _build(options)
    except Unreachable as error:
        click.echo(
            f"\nThe official weights cannot be had: {error}. Going on with a small stand-in that knows handwritten "
            "digits 0-9 and nothing else; the page, /version and the log will say so. When the network is back: "
            "make run MODEL_WEIGHTS=official\n",
            err=True,
        )
        return _build(dataclasses.replace(options, weights="digits", architecture="resnet18"))


def _reusable(output: Path, weights: str, arch: str) -> bundle.Bundle | None:
    """Return the bundle in `output` where it is sound and made from the weights that are asked for."""
    try:
        found = bundle.read(output)
    except ServiceError:
        return None
    name = found.manifest.weights.name
    accepted = {AUTO: ("official", "digits")}.get(weights, (weights,))
    if name in accepted and (found.manifest.architecture == arch or name == "digits"):
        return found
    if name == "custom" and Path(weights).is_file() and bundle.sha256(Path(weights)) == found.manifest.weights.sha256:
        return found
    return None


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def pack(source: Path, target: Path) -> None:
    """Copy a verified bundle with only the networks that it is served with by default, for the production image."""
    with _model_errors():
        unpacked = bundle.read(source)
        made = bundle.pack(unpacked, target, networks_to_serve(unpacked.manifest.default_precision))
        click.echo(
            f"{made.path}: {made.manifest.weights.name}, {', '.join(made.manifest.networks)}, SHA-256 {made.sha256}"
        )


@cli.command()
def serve() -> None:
    """Serve the model over HTTP, as the environment says (README lists the settings)."""
    settings = _settings()
    with _model_errors():
        from service.model import engines

        found = bundle.read(settings.model_dir)
        engine, precision = engines.choose(found, settings.engine, settings.precision)
        engines.check_available(engine)
        for name in engines.networks(engine, precision):
            found.network(name)
    _check_port(settings)
    _check_log_file(settings)
    config = Path(__file__).parent / "serve" / "server" / "gunicorn_conf.py"
    sys.stdout.flush()
    for name, value in _MALLOC.items():
        os.environ.setdefault(name, value)
    # Replaces this process: gunicorn's parent is then the process that a container's runtime signals.
    os.execv(  # noqa: S606  # this interpreter, no shell
        sys.executable,
        [sys.executable, "-m", "gunicorn", "--config", str(config), "service.serve.http.application:create_app()"],
    )


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            _fail(
                EXIT_USAGE,
                f"HOST={settings.host!r} PORT='{settings.port}': cannot listen there ({error.strerror}). "
                f"Choose another, for example PORT={settings.port + 1}",
            )


def _check_log_file(settings: Settings) -> None:
    if settings.log_file:
        try:
            with Path(settings.log_file).open("a"):
                pass
        except OSError as error:
            _fail(
                EXIT_USAGE,
                f"LOG_FILE={settings.log_file!r}: expected a file that can be written ({error.strerror})",
            )


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--top-k", default=3, show_default=True, type=click.IntRange(1))
@click.option("--lang", default="en", show_default=True, type=click.Choice([*LANGUAGES]))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line instead of a table.")
def classify(files: tuple[Path, ...], top_k: int, lang: str, as_json: bool) -> None:
    """Classify picture files, as the environment says."""
    settings = _settings()
    with _model_errors():
        from service.model.classifier import BundleClassifier

        classifier = BundleClassifier.open(settings.model_dir, settings.engine, settings.precision, settings.threads)
    from service.model.images import Limits, load

    limits = Limits(settings.max_picture_pixels, settings.max_decoded_pixels)
    failed = False
    hidden = as_json or len(files) < 2 or not sys.stderr.isatty()
    with click.progressbar(files, label="Classifying", file=sys.stderr, hidden=hidden) as bar:
        for file in bar:
            answer: dict[str, Any] = {"file": str(file)}
            try:
                pixels = load(file.read_bytes(), classifier.geometry, limits)
                found = classifier.top(classifier.classify(pixels), top_k, lang)
                answer["predictions"] = [dataclasses.asdict(prediction) for prediction in found]
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
        _fail(EXIT_USAGE, str(error))


@contextlib.contextmanager
def _model_errors() -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        _fail(EXIT_MODEL, str(error))


def _fail(code: int, message: str) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    raise SystemExit(code)


def main() -> None:
    """Run the command line; an interruption ends it without a trace."""
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
