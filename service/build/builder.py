"""`python -m service build`: weights, network, export, quantisation, accuracy gate, samples, bundle.

Nothing is there under the bundle's name before all of it is right: it is built beside and moved.
"""

from __future__ import annotations

import io
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from service.build import digits, disk_space, export, gate, labels, samples, weights
from service.build.atomic_folder import replacing
from service.build.download import Unreachable
from service.build.networks import PixelNetwork
from service.build.options import AUTO, Options
from service.build.pictures import Batch, PictureSet, from_folder, from_scikit_image
from service.build.quantize import quantize
from service.build.reporter import Reporter
from service.errors import BuildError
from service.model import bundle, engines, images
from service.model.classifier import BundleClassifier
from service.model.engines.openvino import OpenVINOEngine
from service.model.engines.table import NETWORK_FILES
from service.model.processors import available_cpus

_TOOLS = ("torch", "torchvision", "onnx", "onnxruntime", "openvino", "pnnx", "ncnn", "numpy", "pillow")


def build(options: Options, report: Reporter) -> bundle.Bundle:
    """Build a bundle and return it, read back and verified.

    Raises:
        ServiceError: the weights cannot be had, or something in the options does not fit; nothing is left behind.
    """
    if options.weights != AUTO:
        return _build(options, report)
    try:
        return _build(replace(options, weights="official"), report)
    except Unreachable as error:
        report.say(
            f"\nThe official weights cannot be had: {error}. Going on with a small stand-in that knows handwritten "
            "digits 0-9 and nothing else; the page, /version and the log will say so. When that is mended: "
            "make run MODEL_WEIGHTS=official\n"
        )
        return _build(replace(options, weights="digits", architecture="resnet18"), report)


def _build(options: Options, report: Reporter) -> bundle.Bundle:
    torch.set_num_threads(available_cpus())
    with replacing(options.output) as folder:
        trained = _weights(options, report)
        geometry = _geometry(trained, options)
        normalization: dict[str, Any] = {
            "mean": options.mean or bundle.IMAGENET_MEAN,
            "std": options.std or bundle.IMAGENET_STD,
        }
        network = PixelNetwork(trained.network, **normalization).eval()
        pictures = _pictures(trained, geometry, options.calibration, report)
        _try(network, pictures, options.weights)
        disk_space.check(network, folder, options.output)

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
        accuracy, agreement = gate.judge(fp32, int8, pictures, report)
        manifest = bundle.Manifest(
            architecture=options.architecture,
            weights=trained.info,
            resize=geometry.resize,
            crop=geometry.crop,
            interpolation=geometry.interpolation,
            classes=len(trained.labels),
            networks=networks,
            default_precision="int8" if gate.passed(agreement, report) else "fp32",
            samples=samples.record(folder, pictures, geometry, network, int8),
            **normalization,
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
    own = weights.from_file(Path(options.weights), options.architecture, options.labels)
    for line in (own.remark, labels.summary(own.labels)):
        if line:
            report.say(line)
    return own


def _geometry(trained: weights.Trained, options: Options) -> images.Geometry:
    """Keep the preset's ratio of resize to crop (256 : 224) where only the input size is given."""
    crop = options.input_size or trained.crop
    resize = options.resize or round(crop * trained.resize / trained.crop)
    if resize < crop:
        raise BuildError(f"--resize {resize} is less than the {crop} pixels that are cut out of it (--input-size)")
    return images.Geometry(resize, crop, options.interpolation or "bilinear")


def _try(network: PixelNetwork, pictures: PictureSet, name: str) -> None:
    """Find out what would make the quantiser fail in the middle: numbers that overflow, and negative variances."""
    with torch.inference_mode():
        logits = network(torch.from_numpy(pictures.calibration[:2]))
    if not logits.isfinite().all():
        raise BuildError(f"{name} answers a picture with numbers that are not finite: its training has diverged")


def _pictures(trained: weights.Trained, geometry: images.Geometry, folder: Path | None, report: Reporter) -> PictureSet:
    if folder is not None:
        return from_folder(folder, geometry, report)
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
