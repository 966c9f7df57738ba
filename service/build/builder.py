"""`python -m service build`: weights, network, export, quantisation, accuracy gate, samples, bundle.

Nothing is there under the bundle's name before all of it is right: it is built beside and moved.
"""

from __future__ import annotations

import contextlib
import io
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from service.build import digits, export, weights
from service.build.networks import PixelNetwork
from service.build.pictures import Batch, PictureSet, from_folder, from_scikit_image
from service.build.quantize import quantize
from service.errors import ServiceError
from service.model import bundle, engines, images
from service.model.classifier import BundleClassifier, softmax
from service.model.engines.base import Engine
from service.model.engines.openvino import OpenVINOEngine
from service.model.engines.table import NETWORK_FILES
from service.model.processors import available_cpus

# INT8 becomes a bundle's default only where its likeliest label is FP32's on this share of pictures that calibration
# did not see.
AGREEMENT_GATE = 0.97
_RECORDED = 3  # labels per sample in the known-answer test
_TOOLS = ("torch", "torchvision", "onnx", "onnxruntime", "openvino", "pnnx", "ncnn", "numpy", "pillow")


class BuildError(ServiceError):
    """The options do not fit one another."""


class Step(Protocol):
    """Moves a progress bar."""

    def __call__(self, count: int = 1, total: int | None = None) -> None:
        """Move by `count`; `total` is given where it has become known."""


class Reporter(Protocol):
    """How a build tells a person what it does."""

    def say(self, message: str) -> None:
        """Print one line."""

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Step]:
        """Show a progress bar of `total` steps, 0 where that is not known yet."""


@dataclass(frozen=True)
class Options:
    """What to build. `weights` is official, digits, untrained or the path of a checkpoint."""

    output: Path
    weights: str = "official"
    architecture: str = "resnet18"
    input_size: int | None = None
    torchscript: bool = False
    calibration: Path | None = None
    labels: Path | None = None


def build(options: Options, report: Reporter) -> bundle.Bundle:
    """Build a bundle and return it, read back and verified.

    Raises:
        ServiceError: the weights cannot be had, or something in the options does not fit; nothing is left behind.
    """
    torch.set_num_threads(available_cpus())
    trained = _weights(options, report)
    geometry = _geometry(trained, options.input_size)
    network = PixelNetwork(trained.network).eval()
    pictures = _pictures(trained, geometry, options.calibration)

    with _replacing(options.output) as folder:
        networks = {name: NETWORK_FILES[name] for name in ("fp32", "int8", "ncnn", "ncnn_graph")}
        report.say(f"Exporting {options.architecture} for pictures of {geometry.crop} x {geometry.crop}")
        export.to_onnx(network, geometry.crop, folder / networks["fp32"])
        export.to_ncnn(network, geometry.crop, folder / networks["ncnn"], folder / networks["ncnn_graph"])
        if options.torchscript:
            networks["torchscript"] = NETWORK_FILES["torchscript"]
            export.to_torchscript(network, geometry.crop, folder / networks["torchscript"])
        with report.progress("Calibrating INT8", len(pictures.calibration)) as step:
            quantize(folder / networks["fp32"], folder / networks["int8"], pictures.calibration, step)

        threads = available_cpus()
        fp32 = OpenVINOEngine([folder / networks["fp32"]], "fp32", threads, geometry.crop)
        int8 = OpenVINOEngine([folder / networks["int8"]], "int8", threads, geometry.crop)
        accuracy, agreement = _judge(fp32, int8, pictures, report)
        passed = agreement["top1"] >= AGREEMENT_GATE
        report.say(
            f"INT8 and FP32 name the same label for {agreement['top1']:.1%} of {agreement['pictures']} pictures "
            f"that calibration did not see (gate {AGREEMENT_GATE:.0%}): {'INT8' if passed else 'FP32'} is the default"
        )
        manifest = bundle.Manifest(
            architecture=options.architecture,
            weights=trained.info,
            resize=geometry.resize,
            crop=geometry.crop,
            classes=len(trained.labels),
            networks=networks,
            default_precision="int8" if passed else "fp32",
            samples=_samples(folder, pictures, geometry, network, int8),
            accuracy=accuracy,
            agreement=agreement,
            tools={"python": platform.python_version(), **{name: version(name) for name in _TOOLS}},
        )
        made = bundle.write(folder, manifest, trained.labels)
        # Nothing is handed over that the service would refuse to start with.
        for precision in {"fp32", manifest.default_precision}:
            BundleClassifier(made, engines.open_engine(made, "auto", precision, threads)).check()
    result = bundle.read(options.output)
    for kind in ("fp32", "int8"):
        report.say(f"{kind.upper()}: {result.network(kind).stat().st_size / 1e6:.1f} MB")
    return result


def _weights(options: Options, report: Reporter) -> weights.Trained:
    if options.weights == "official":
        with report.progress("Fetching the official weights", 0) as step:
            return weights.official(options.architecture, step)
    if options.weights == "digits":
        if options.architecture != "resnet18":
            raise BuildError(f"--weights digits trains a resnet18, not a {options.architecture}")
        data = digits.load()
        with report.progress("Training on handwritten digits", digits.steps(data)) as step:
            return weights.trained_digits(lambda _loss: step(1), data)
    if options.weights == "untrained":
        return weights.untrained(options.architecture)
    return weights.from_file(Path(options.weights), options.architecture, options.labels)


def _geometry(trained: weights.Trained, input_size: int | None) -> images.Geometry:
    """Keep the preset's ratio of resize to crop (256 : 224) where another input size is asked for."""
    if input_size is None:
        return images.Geometry(trained.resize, trained.crop)
    return images.Geometry(round(input_size * trained.resize / trained.crop), input_size)


def _pictures(trained: weights.Trained, geometry: images.Geometry, folder: Path | None) -> PictureSet:
    if folder is not None:
        return from_folder(folder, geometry)
    data = trained.digits
    if data is None:
        return from_scikit_image(geometry)
    return PictureSet(
        calibration=_resized(data.train[:300], geometry.crop),
        judging=_resized(data.held_out, geometry.crop),
        source="scikit-learn's handwritten digits",
        samples=[
            (f"digit-{digit}.png", _png(data.held_out[np.flatnonzero(data.held_out_labels == digit)[0]]))
            for digit in range(digits.CLASSES)
        ],
        judging_labels=data.held_out_labels,
    )


def _resized(batch: Batch, size: int) -> Batch:
    if batch.shape[1] == size:
        return batch
    return np.stack([np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR)) for p in batch])


def _png(pixels: images.Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _judge(
    fp32: Engine, int8: Engine, pictures: PictureSet, report: Reporter
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Compare both networks on the pictures that calibration did not see; returns (accuracy, agreement)."""
    found: dict[str, list[int]] = {"fp32": [], "int8": []}
    with report.progress("Comparing INT8 with FP32", len(pictures.judging)) as step:
        for picture in pictures.judging:
            for engine in (fp32, int8):
                found[engine.precision].append(int(engine.logits(picture[None]).argmax()))
            step()
    names = {key: np.array(value) for key, value in found.items()}
    agreement = {
        "top1": round(float(np.mean(names["fp32"] == names["int8"])), 4),
        "pictures": len(pictures.judging),
        "calibration_pictures": len(pictures.calibration),
        "source": pictures.source,
        "gate": AGREEMENT_GATE,
    }
    if pictures.judging_labels is None:
        return None, agreement
    accuracy: dict[str, Any] = {
        key: round(float(np.mean(value == pictures.judging_labels)), 4) for key, value in names.items()
    }
    report.say(f"Held-out accuracy: FP32 {accuracy['fp32']:.1%}, INT8 {accuracy['int8']:.1%}")
    return {**accuracy, "pictures": len(pictures.judging)}, agreement


def _samples(
    folder: Path, pictures: PictureSet, geometry: images.Geometry, network: PixelNetwork, int8: Engine
) -> list[bundle.Sample]:
    """Write the sample pictures and record their answers: FP32's by PyTorch itself, INT8's by the default engine."""
    (folder / bundle.SAMPLES).mkdir()
    result = []
    for name, data in pictures.samples:
        (folder / bundle.SAMPLES / name).write_bytes(data)
        pixels = images.load(data, geometry, images.Limits())[None]  # [1, H, W, 3]
        with torch.inference_mode():
            exact = network(torch.from_numpy(pixels)).numpy()
        answers = {}
        for precision, logits in (("fp32", exact), ("int8", int8.logits(pixels))):
            probabilities = softmax(logits)[0]
            likeliest = np.argsort(-probabilities)[:_RECORDED]
            answers[precision] = [(int(i), round(float(probabilities[i]), 6)) for i in likeliest]
        result.append(bundle.Sample(f"{bundle.SAMPLES}/{name}", answers))
    return result


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` that takes its place when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not (target / bundle.MANIFEST).exists() and any(target.iterdir()):
        raise BuildError(f"{target} holds something that is no model bundle; choose another --output or remove it")
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's folders are private, a container's user must read this one
        old = folder.with_name(folder.name + "-old")
        if target.exists():
            target.rename(old)
        folder.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
