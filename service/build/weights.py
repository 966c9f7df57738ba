"""Where a network's parameters come from: torchvision's download, the digits, a seed, or a person's own file."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.build import digits, labels
from service.build.download import Progress, fetch
from service.build.networks import fingerprint, make
from service.build.vision import torchvision
from service.errors import ServiceError
from service.model import bundle
from service.model.bundle import Label

NAMES = ("official", "digits", "untrained")
IMAGENET_CLASSES = 1000

# A file's name carries the first 8 digits of its SHA-256. Where the whole is known it is checked: of the file that
# torchvision 0.28 names, 46,830,571 bytes.
_FULL_DIGESTS = {
    "resnet18-f37072fd.pth": ("f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", 46_830_571),
}
_SEED = 0


class CheckpointError(ServiceError):
    """A checkpoint cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Trained:
    """A network with its parameters, its classes' names, and where both came from."""

    network: nn.Module
    info: bundle.Weights
    labels: list[Label]
    resize: int
    crop: int
    digits: digits.Digits | None = None  # the digits' own pictures, where it was trained on them


def official(architecture: str, progress: Progress | None = None) -> Trained:
    """Download (once) and load torchvision's ImageNet weights.

    Raises:
        service.build.download.Unreachable: they cannot be fetched from here.
        service.build.download.Corrupt: what arrived is something else.
    """
    entry = _official_entry(architecture)
    file = fetch_official(entry.url, progress)
    network = make(architecture, IMAGENET_CLASSES)
    network.load_state_dict(_read_state(file))
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
    """Load a person's own checkpoint: a state dictionary, or a dictionary that holds one as `state_dict` or `model`.

    Raises:
        CheckpointError: the file is missing, holds code instead of tensors, or does not fit the architecture.
        service.build.labels.LabelsError: the labels do not fit.
    """
    state = _read_state(file)
    try:
        classes = len(state["fc.bias"])
        network = make(architecture, classes)
        network.load_state_dict(state)
    except KeyError:
        raise CheckpointError(f"{file} holds no fc.bias: it is no checkpoint of a torchvision ResNet") from None
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{file} does not fit {architecture}: {reason}. Choose another with --arch") from None
    info = bundle.Weights(
        name="custom",
        source=file.name,
        sha256=bundle.sha256(file),
        trained_on=f"Your own checkpoint, {file.name}.",
    )
    names = labels.from_file(labels_file, classes) if labels_file else labels.numbered(classes)
    return Trained(network, info, names, 256, 224)


def _read_state(file: Path) -> dict[str, Tensor]:
    try:
        # weights_only: a checkpoint is a pickle, and a pickle may run anything when it is read.
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{file} does not exist; --weights takes {', '.join(NAMES)} or a file") from None
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{file} is no checkpoint of plain tensors: {reason}") from None
    if isinstance(loaded, dict):
        for key in ("state_dict", "model"):
            if isinstance(loaded.get(key), dict):
                loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{file} holds a {type(loaded).__name__}, expected a state dictionary of tensors")
    # DistributedDataParallel and torch.compile put their names before those of the network.
    return {key.removeprefix("_orig_mod.").removeprefix("module."): value for key, value in loaded.items()}
