"""What to build; without PyTorch, for the command line and for whoever only asks what is there already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from service.build import labels
from service.errors import ServiceError
from service.model import bundle, networks
from service.model.networks import AUTO, AUTO_ORDER

NAMED = (*networks.NAMES, AUTO)  # whatever else `weights` says is a file


@dataclass(frozen=True)
class Options:
    """What to build.

    Attributes:
        output: the bundle's folder.
        weights: one of NAMED, or the path of a checkpoint.
        architecture: one of networks.ARCHITECTURES; None for the weights' own.
        input_size: side of the input in pixels; None for the weights' own.
        resize: what the short side is scaled to before `input_size` is cut out; None for the weights' own ratio.
        interpolation: how a checkpoint's pictures were resized, one of bundle.INTERPOLATIONS.
        mean, std: what a checkpoint's pictures were normalised with when it was trained. None for its architecture's,
            as `interpolation`.
        torchscript: also write the network that ENGINE=torch runs.
        calibration: a folder of pictures to quantise and judge by; None for the packages' photographs.
        labels: a file with a checkpoint's labels.
    """

    output: Path
    weights: str = "official"
    architecture: str | None = None
    input_size: int | None = None
    resize: int | None = None
    interpolation: str | None = None
    mean: bundle.Channels | None = None
    std: bundle.Channels | None = None
    torchscript: bool = False
    calibration: Path | None = None
    labels: Path | None = None

    @property
    def network(self) -> networks.Network:
        """Return the row of the table that these weights are, with an architecture.

        Raises:
            BuildError: there is none.
        """
        return networks.find(self.weights, self.architecture)


def reusable(options: Options) -> bundle.Bundle | None:
    """Return the bundle that is there where it is sound and what would be built."""
    try:
        there = bundle.read(options.output)
        fits = _same_weights(options, there.manifest) and _same_options(options, there)
    except ServiceError:
        return None
    return there if fits else None


def _same_weights(options: Options, manifest: bundle.Manifest) -> bool:
    weights = manifest.weights
    if options.weights == AUTO:
        # What stands in for the first answers whatever architecture was asked for.
        first, *others = AUTO_ORDER
        return weights.name in others or _same_weights(replace(options, weights=first), manifest)
    if weights.name == options.weights:
        return manifest.architecture == options.network.architecture
    file = Path(options.weights)
    return weights.name == "custom" and file.is_file() and bundle.sha256(file) == weights.sha256


def _same_options(options: Options, there: bundle.Bundle) -> bool:
    """Return whether the bundle is what the given options ask for; those that are not given accept any."""
    manifest = there.manifest
    given = (
        (options.input_size, manifest.crop),
        (options.resize, manifest.resize),
        (options.interpolation, manifest.interpolation),
        (options.mean, manifest.mean),
        (options.std, manifest.std),
    )
    return (
        all(wanted in (None, found) for wanted, found in given)
        and (not options.calibration or _judged_by(manifest).endswith(f" pictures of {options.calibration.name}"))
        and (not options.torchscript or "torchscript" in manifest.networks)
        and (not options.labels or there.labels == labels.from_file(options.labels, manifest.classes))
    )


def _judged_by(manifest: bundle.Manifest) -> str:
    return str((manifest.agreement or {}).get("source", ""))
