"""What to build; without PyTorch, for the command line and for whoever only asks what is there already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service.errors import ServiceError
from service.model import bundle

ARCHITECTURES = ("resnet18", "resnet34", "resnet50")
AUTO = "auto"  # the official weights or, where they cannot be reached, digits


@dataclass(frozen=True)
class Options:
    """What to build.

    Attributes:
        output: the bundle's folder.
        weights: official, digits, untrained, auto, or the path of a checkpoint.
        architecture: one of ARCHITECTURES.
        input_size: side of the input in pixels; None for the weights' own.
        torchscript: also write the network that ENGINE=torch runs.
        calibration: a folder of pictures to quantise and judge by; None for the packages' photographs.
        labels: a file with a checkpoint's labels.
    """

    output: Path
    weights: str = "official"
    architecture: str = "resnet18"
    input_size: int | None = None
    torchscript: bool = False
    calibration: Path | None = None
    labels: Path | None = None


def reusable(options: Options) -> bundle.Bundle | None:
    """Return the bundle that is there where it is sound and made from the weights that are asked for."""
    try:
        there = bundle.read(options.output)
    except ServiceError:
        return None
    weights = there.manifest.weights
    accepted = ("official", "digits") if options.weights == AUTO else (options.weights,)
    if weights.name in accepted and (there.manifest.architecture == options.architecture or weights.name == "digits"):
        return there
    file = Path(options.weights)
    if weights.name == "custom" and file.is_file() and bundle.sha256(file) == weights.sha256:
        return there
    return None
