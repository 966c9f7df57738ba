"""Where a network's parameters come from: torchvision's download, the digits, a seed, or a person's own file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from service.build import checkpoint, checkpoint_file, digits, labels
from service.build.download import Progress, fetch
from service.build.networks import fingerprint, make
from service.build.vision import torchvision
from service.model import bundle
from service.model.bundle import Label

IMAGENET_CLASSES = 1000

# A file's name carries the first 8 digits of its SHA-256. Where the whole is known it is checked: of the file that
# torchvision 0.28 names, 46,830,571 bytes.
_FULL_DIGESTS = {
    "resnet18-f37072fd.pth": ("f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", 46_830_571),
}
_SEED = 0


@dataclass(frozen=True)
class Trained:
    """A network with its parameters, its classes' names, and where both came from."""

    network: nn.Module
    info: bundle.Weights
    labels: list[Label]
    resize: int
    crop: int
    digits: digits.Digits | None = None  # the digits' own pictures, where it was trained on them
    remark: str = ""  # what a person should know of how they were found


def official(architecture: str, progress: Progress | None = None) -> Trained:
    """Download (once) and load torchvision's ImageNet weights.

    Raises:
        service.build.download.Unreachable: they cannot be fetched from here.
        service.build.download.Corrupt: what arrived is something else.
    """
    entry = _official_entry(architecture)
    file = fetch_official(entry.url, progress)
    network = make(architecture, IMAGENET_CLASSES)
    network.load_state_dict(checkpoint_file.read(file))
    preset = entry.transforms()
    info = bundle.Weights(
        name="official",
        source=entry.url,
        sha256=bundle.sha256(file),
        trained_on="Trained on ImageNet-1k: 1.28 million photographs of 1,000 everyday things.",
    )
    names = labels.imagenet(entry.meta["categories"])
    return Trained(network, info, names, preset.resize_size[0], preset.crop_size[0])


def fetch_official(url: str, progress: Progress | None = None) -> Path:
    """Return the file that `url` names, from PyTorch's own cache folder, downloaded and verified where needed."""
    name = url.rsplit("/", 1)[1]
    named = name.rsplit("-", 1)[1].removesuffix(".pth")
    digest, size = _FULL_DIGESTS.get(name, (named, None))
    return fetch(url, Path(torch.hub.get_dir()) / "checkpoints" / name, digest, size, progress)


def _official_entry(architecture: str) -> Any:
    # V1 throughout: the figures that people know, and the plain preset (V2 of ResNet-50 wants other resizing).
    return torchvision.models.get_model_weights(architecture).IMAGENET1K_V1


def trained_digits(on_step: Callable[[float], None] | None = None, data: digits.Digits | None = None) -> Trained:
    """Train the small stand-in model."""
    data = data or digits.load()
    network = digits.train(data, on_step)
    info = bundle.Weights(
        name="digits",
        source="scikit-learn's handwritten digits, trained here",
        sha256=fingerprint(network.state_dict()),
        trained_on="Trained on 1,437 handwritten digits of 8 x 8 pixels: it knows 0 to 9 and nothing else.",
    )
    return Trained(network, info, labels.digits(), digits.SIZE, digits.SIZE, data)


def untrained(architecture: str) -> Trained:
    """Return a network of the full size with random parameters, always the same: for measuring speed."""
    torch.manual_seed(_SEED)
    network = make(architecture, IMAGENET_CLASSES)
    entry = _official_entry(architecture)
    preset = entry.transforms()
    info = bundle.Weights(
        name="untrained",
        source=f"random, seed {_SEED}",
        sha256=fingerprint(network.state_dict()),
        trained_on="Not trained: random parameters for measuring speed. Its answers mean nothing.",
    )
    names = labels.imagenet(entry.meta["categories"])
    return Trained(network, info, names, preset.resize_size[0], preset.crop_size[0])


def from_file(file: Path, architecture: str, labels_file: Path | None = None) -> Trained:
    """Load a person's own checkpoint.

    Raises:
        service.build.checkpoint_file.CheckpointError: it cannot be read, or holds no network of this architecture.
        service.build.labels.LabelsError: the labels do not fit.
    """
    loaded = checkpoint.load(file, architecture)
    info = bundle.Weights(
        name="custom",
        source=file.name,
        sha256=bundle.sha256(file),
        trained_on=f"Your own checkpoint, {file.name}.",
    )
    names = labels.from_file(labels_file, loaded.classes) if labels_file else labels.numbered(loaded.classes)
    return Trained(loaded.network, info, names, 256, 224, remark=loaded.remark)
