"""A model bundle on disk: the folder in which modelling hands a network to serving.

Owns the files' names, the manifest's schema and the hashes. Knows nothing of how a network is made or run.

    manifest.json      what this is, and the SHA-256 of every other file
    network.onnx       FP32: uint8 [N, H, W, 3] RGB in, float32 [N, classes] logits and [N, C, h, w] features out
    network.int8.onnx  the same, quantised
    network.ncnn.*     FP32 once more, in ncnn's form: its graph (param) and its weights (bin)
    network.ts         FP32 as TorchScript, where it was asked for
    labels.json        the classes' names
    samples/           pictures with the answers recorded when the bundle was built
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from service.errors import BundleError
from service.model.processors import available_cpus

FORMAT = 1
# Of the recorded answers, by precision: FP32 engines differ by rounding, INT8 also by the processor's instructions. As
# a fraction, because an untrained network's probabilities are all small. What a bundle says of itself goes first.
TOLERANCE = {"fp32": 0.02, "int8": 0.25}
MANIFEST = "manifest.json"
LABELS = "labels.json"
SAMPLES = "samples"
REMEDY = "Build the bundle again: python -m service build"


Channels = tuple[float, float, float]  # of red, green and blue

# Of ImageNet's training set, for pixels from 0 to 1; torchvision's presets hold the same values.
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)

# How pictures are resized, always with antialiasing, as Pillow and torchvision call it.
INTERPOLATIONS = ("bilinear", "bicubic")

# Where a bundle goes, and is served from, where nobody says otherwise; the image's path too. It has the name of what is
# tried first; what is in it the manifest says.
DEFAULT_FOLDER = Path("models/resnet18")

# In which classes have names and the page has texts, each as it calls itself.
LANGUAGES = {"en": "English", "zh": "中文"}


@dataclass(frozen=True)
class Label:
    """One class: its WordNet id where it has one, and its names."""

    index: int
    wordnet_id: str | None
    en: str
    zh: str

    def name(self, lang: str) -> str:
        """Return the name in `lang`, one of LANGUAGES."""
        return self.zh if lang == "zh" else self.en


@dataclass(frozen=True)
class Sample:
    """A picture with the answers recorded at build time: per precision, the probabilities of the likeliest classes."""

    file: str
    answers: dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Weights:
    """Where the parameters came from: `name` is that of a row of networks.NETWORKS, or custom."""

    name: str
    source: str
    sha256: str
    trained_on: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds; `accuracy` and `agreement` are fractions from 0 to 1, with what they were measured on.

    `mean` and `std`, by which pictures are normalised, are part of the networks, and here to be read.

    `tolerance` is by precision how far a probability may lie from the one recorded of a sample, as a fraction of the
    sample's highest recorded one.

    `features` is the shape [C, h, w] of the networks' second output, whose mean over the plane and one linear layer
    give the logits; None for a network that ends otherwise, and in bundles from before there were features.
    """

    architecture: str
    weights: Weights
    resize: int
    crop: int
    classes: int
    networks: dict[str, str]
    default_precision: str
    samples: list[Sample]
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    interpolation: str = "bilinear"
    accuracy: dict[str, Any] | None = None
    agreement: dict[str, Any] | None = None
    features: tuple[int, int, int] | None = None
    tolerance: dict[str, float] = field(default_factory=lambda: dict(TOLERANCE))
    tools: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Manifest:
        """Build a manifest from its JSON; raises KeyError, TypeError or ValueError where it is not one."""
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}, this service reads format {FORMAT}")
        samples = [
            Sample(
                item["file"],
                {key: [(int(i), float(p)) for i, p in value] for key, value in item["answers"].items()},
            )
            for item in document["samples"]
        ]
        if (interpolation := document.get("interpolation", "bilinear")) not in INTERPOLATIONS:
            raise ValueError(f"its interpolation is {interpolation!r}, this service knows {', '.join(INTERPOLATIONS)}")
        tuples: dict[str, Any] = {key: tuple(document[key]) for key in ("mean", "std", "features") if document.get(key)}
        if "features" in tuples and [type(length) for length in tuples["features"]] != [int] * 3:
            raise ValueError(f"its features are {document['features']!r}, not three whole numbers")
        return cls(**{**document, **tuples, "weights": Weights(**document["weights"]), "samples": samples})


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: every file was there with the hash that the manifest gives.

    Networks that were not verified on reading are so when they are asked for.
    """

    path: Path
    manifest: Manifest
    labels: list[Label]
    sha256: str  # of the manifest, and through it of everything
    unverified: frozenset[str] = frozenset()

    def network(self, name: str) -> Path:
        """Return the file of a network, `name` being one of engines.table.NETWORK_FILES.

        Raises:
            BundleError: the bundle was built without it, or it is missing or damaged.
        """
        if name not in self.manifest.networks:
            lacking = {"fp32", "int8"} - self.manifest.networks.keys()
            if lacking:  # a build leaves both
                raise BundleError(
                    f"{self.path} holds no {name} network, because it is packed for {self.manifest.default_precision}: "
                    f"leave ENGINE and PRECISION away, or build the image with PRECISION={min(lacking)}."
                )
            option = " --torchscript" if name == "torchscript" else ""
            raise BundleError(f"{self.path} holds no {name} network. {REMEDY}{option}")
        file = self.manifest.networks[name]
        if file in self.unverified:
            _verify(self.path, file, self.manifest.files[file])
        return self.path / file


def read(path: Path, networks_later: bool = False) -> Bundle:
    """Read a bundle and verify every file's hash.

    Args:
        path: the bundle's folder.
        networks_later: leave the networks, most of the bytes, to `Bundle.network`: whoever opens one of three does not
            wait for the others.

    Raises:
        BundleError: something is missing or damaged; one line that names the file and the remedy.
    """
    manifest_path = path / MANIFEST
    try:
        text = manifest_path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{manifest_path} is missing: there is no model bundle. {REMEDY}") from None
    except OSError as error:
        raise BundleError(f"{manifest_path} cannot be read: {error.strerror}.") from None
    try:
        manifest = Manifest.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{manifest_path} is damaged: {error}. {REMEDY}") from None
    later = frozenset(manifest.networks.values() if networks_later else ())
    now = {name: expected for name, expected in manifest.files.items() if name not in later}
    # Hashing lets go of the interpreter's lock; a start waits for it.
    with ThreadPoolExecutor(available_cpus()) as pool:
        list(pool.map(partial(_verify, path), now, now.values()))
    for name in [*manifest.networks.values(), LABELS, *(sample.file for sample in manifest.samples)]:
        if name not in manifest.files:
            raise BundleError(f"{manifest_path} is damaged: it gives no hash for {name}. {REMEDY}")
    try:
        labels = [Label(**item) for item in json.loads((path / LABELS).read_bytes())]
    except (ValueError, TypeError) as error:
        raise BundleError(f"{path / LABELS} is damaged: {error}. {REMEDY}") from None
    if [label.index for label in labels] != list(range(manifest.classes)):
        raise BundleError(f"{path / LABELS} does not name classes 0 to {manifest.classes - 1} in order. {REMEDY}")
    return Bundle(path, manifest, labels, hashlib.sha256(text).hexdigest(), later)


def _verify(path: Path, name: str, expected: dict[str, Any]) -> None:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise BundleError(f"{path / MANIFEST} is damaged: it names a file outside the bundle, {name!r}.")
    file = path / name
    try:
        size, digest = file.stat().st_size, sha256(file)
    except FileNotFoundError:
        raise BundleError(f"{file} is missing. {REMEDY}") from None
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}.") from None
    if (size, digest) != (expected.get("bytes"), expected.get("sha256")):
        raise BundleError(
            f"{file} is damaged: {size} bytes with SHA-256 {digest}, "
            f"expected {expected.get('bytes')} bytes with {expected.get('sha256')}. {REMEDY}"
        )


def sha256(file: Path) -> str:
    """Return a file's SHA-256 as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def pack(source: Bundle, target: Path, names: Collection[str], precision: str | None = None) -> Bundle:
    """Copy a bundle to a new folder with only the networks that `names` holds; for INT8 alone a tenth of the size.

    Args:
        source: a bundle with all of its networks.
        target: the new folder.
        names: networks, as the manifest names them.
        precision: what it is served in by default from now on; None leaves that.

    Raises:
        BundleError: `target` exists, or the accuracy gate did not allow `precision`.
    """
    precision = precision or source.manifest.default_precision
    if precision not in ("fp32", source.manifest.default_precision):
        raise BundleError(
            f"{source.path} is not to be served in {precision}: it failed its accuracy gate. Pack it in fp32, or build "
            "it again with other pictures for calibration"
        )
    if target.exists():
        raise BundleError(f"{target} exists already; choose another folder or remove it")
    networks = {name: file for name, file in source.manifest.networks.items() if name in names}
    manifest = replace(source.manifest, networks=networks, default_precision=precision)
    for name in [*networks.values(), *(sample.file for sample in manifest.samples)]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path / name, target / name)
    return write(target, manifest, source.labels)


def write(path: Path, manifest: Manifest, labels: list[Label]) -> Bundle:
    """Complete a bundle whose networks and samples are in `path`: write the labels and, last, the manifest.

    The manifest's `files` is computed here. Reads the result back, so what is returned is verified.
    """
    _dump(path / LABELS, [asdict(label) for label in labels])
    names = [*manifest.networks.values(), LABELS, *(sample.file for sample in manifest.samples)]
    files = {name: {"bytes": (path / name).stat().st_size, "sha256": sha256(path / name)} for name in sorted(names)}
    _dump(path / MANIFEST, {**asdict(manifest), "files": files})
    return read(path)


def _dump(file: Path, document: object) -> None:
    # One fixed form, so that equal content gives equal bytes and equal hashes.
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
