"""The command line of building: `python -m service build`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from service.build.options import NAMED, Options, reusable
from service.build.reporter import Step
from service.console import EXIT_MODEL, fail, model_errors, tidy_when_terminated
from service.errors import BuildError
from service.model import networks
from service.model.bundle import DEFAULT_FOLDER, INTERPOLATIONS, Channels
from service.model.networks import ARCHITECTURES, AUTO, AUTO_ORDER, NETWORKS, OWN, TIMM


class ClickReporter:
    """Progress bars on standard error; one line each where that is no terminal."""

    def say(self, message: str) -> None:
        """See Reporter.say."""
        click.echo(message, err=True)

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Step]:
        """See Reporter.progress."""
        with click.progressbar(length=total, label=f"{label:<32}", file=sys.stderr) as bar:

            def step(count: int = 1, total: int | None = None) -> None:
                if total is not None:
                    bar.length = total
                bar.update(count)

            yield step


def _fractions(context: click.Context, parameter: click.Parameter, value: Channels | None) -> Channels | None:
    if value and not all(0 < number <= 1 or (number == 0 and parameter.name == "mean") for number in value):
        raise click.BadParameter(
            f"{' '.join(f'{number:g}' for number in value)}: expected three numbers for pixels from 0 to 1; divide "
            "those for pixels from 0 to 255 by 255.",
            context,
            parameter,
        )
    return value


def _weights_help() -> str:
    summaries = dict.fromkeys(f"{network.weights} ({network.summary})" for network in NETWORKS)
    return (
        f"{', '.join(summaries)}, {AUTO} (the first of {', '.join(AUTO_ORDER)} that can be had), or {OWN.summary}. "
        f"[default: {networks.default_weights(None)}, with --arch {TIMM}NAME timm]"
    )


@click.command()
@click.option(
    "--weights",
    metavar="NAME|FILE",
    help=_weights_help(),
)
@click.option(
    "--arch",
    metavar="NAME",
    help=f"{', '.join(ARCHITECTURES)}, or {TIMM}NAME where timm is installed. [default: the weights', or resnet18]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help=f"Where the bundle goes. [default: {DEFAULT_FOLDER}, which is what is served; with --arch models/ARCH]",
)
@click.option(
    "--input-size", type=click.IntRange(32, 1024), help="Side of the input in pixels. [default: the weights']"
)
@click.option(
    "--resize",
    type=click.IntRange(32, 4096),
    help="What the short side is scaled to before the input is cut out. [default: the weights', in ratio]",
)
@click.option(
    "--interpolation",
    type=click.Choice(INTERPOLATIONS),
    help="How your checkpoint's training resized pictures; always with antialiasing. [default: as its architecture "
    "was published, bilinear for ResNets]",
)
@click.option(
    "--mean",
    nargs=3,
    type=float,
    callback=_fractions,
    metavar="R G B",
    help="What your checkpoint's training subtracted from pixels of 0 to 1. [default: as its architecture "
    "was published; ImageNet's for ResNets, 0.485 0.456 0.406]",
)
@click.option(
    "--std",
    nargs=3,
    type=float,
    callback=_fractions,
    metavar="R G B",
    help="What it divided them by. [default: likewise; 0.229 0.224 0.225]",
)
@click.option("--torchscript", is_flag=True, help="Also write network.ts, for ENGINE=torch.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="A folder of your own pictures: some calibrate INT8, others judge it; in subfolders by class, accuracy too.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Your classes' names, one a line (a tab before Chinese), or JSON.",
)
@click.option("--reuse", is_flag=True, help="Keep a bundle that is there already and was built from the same weights.")
def build(
    weights: str | None,
    arch: str | None,
    output: Path | None,
    input_size: int | None,
    resize: int | None,
    interpolation: str | None,
    mean: Channels | None,
    std: Channels | None,
    torchscript: bool,
    calibration: Path | None,
    labels: Path | None,
    reuse: bool,
) -> None:
    """Build a model bundle: weights, ONNX in FP32 and INT8, accuracy gate, samples."""
    weights = weights or networks.default_weights(arch)
    own = (("--interpolation", interpolation), ("--mean", mean), ("--std", std), ("--labels", labels))
    for option, value in own:
        if value and weights in NAMED:
            raise click.UsageError(
                f"{option} belongs to a checkpoint of your own; --weights {weights} brings what it needs."
            )
    try:
        networks.find(AUTO_ORDER[0] if weights == AUTO else weights, arch)
    except BuildError as error:
        raise click.UsageError(str(error)) from None
    options = Options(
        output=output or (DEFAULT_FOLDER.with_name(arch.replace("/", "-")) if arch else DEFAULT_FOLDER),
        weights=weights,
        architecture=arch,
        input_size=input_size,
        resize=resize,
        interpolation=interpolation,
        mean=mean,
        std=std,
        torchscript=torchscript,
        calibration=calibration,
        labels=labels,
    )
    if reuse and (there := reusable(options)):
        click.echo(f"Using {there.path} ({there.manifest.weights.name}); without --reuse it is built again.", err=True)
        return
    try:
        from service.build.builder import build as build_bundle
    except ImportError as error:
        fail(EXIT_MODEL, f"Building needs PyTorch and more ({error}): pip install -r requirements/modeling.txt")
    tidy_when_terminated()
    with model_errors():
        made = build_bundle(options, ClickReporter())
        click.echo(f"{made.path}: {made.manifest.weights.name} {made.manifest.architecture}, SHA-256 {made.sha256}")
