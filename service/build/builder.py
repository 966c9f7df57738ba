"""`python -m service build`: weights, network, export, quantisation, accuracy gate, samples, bundle.

Nothing is there under the bundle's name before all of it is right: it is built beside and moved.
"""

from __future__ import annotations

import io
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from service.build import digits, disk_space, export, gate, labels, samples, weights
from service.build.atomic_folder import replacing
from service.build.download import Corrupt, Unreachable
from service.build.networks import PixelNetwork
from service.build.options import Options
from service.build.pictures import Batch, PictureSet, from_folder, from_scikit_image
from service.build.quantize import quantize
from service.build.reporter import Reporter
from service.errors import BuildError, ServiceError
from service.model import bundle, engines, images, networks
from service.model.classifier import BundleClassifier
from service.model.engines.ncnn import NcnnEngine
from service.model.engines.openvino import OpenVINOEngine
from service.model.engines.table import NETWORK_FILES
from service.model.networks import AUTO, AUTO_ORDER, TIMM, Network, Preprocessing
from service.model.processors import available_cpus

_TOOLS = ("torch", "torchvision", "onnx", "onnxruntime", "openvino", "pnnx", "ncnn", "numpy", "pillow")


def build(options: Options, report: Reporter) -> bundle.Bundle:
    """Build a bundle and return it, read back and verified.

    Raises:
        ServiceError: the weights cannot be had, or something in the options does not fit; nothing is left behind.
    """
    torch.set_num_threads(available_cpus())
    with replacing(options.output) as folder:
        row = _available(options, report) if options.weights == AUTO else options.network
        trained = _trained(row, options, report)
        geometry = _geometry(trained.preprocessing, options)
        normalization: dict[str, Any] = {
            "mean": options.mean or trained.preprocessing.mean,
            "std": options.std or trained.preprocessing.std,
        }
        network = PixelNetwork(trained.network, **normalization).eval()
        pictures = _pictures(trained, geometry, options.calibration, report)
        features = _try(network, pictures, trained.info.source)
        disk_space.check(network, folder, options.output)

        network_files = {name: NETWORK_FILES[name] for name in ("fp32", "int8", "ncnn", "ncnn_graph")}
        report.say(f"Exporting {row.architecture} for pictures of {geometry.crop} x {geometry.crop}")
        export.to_onnx(network, geometry.crop, folder / network_files["fp32"])
        if not _to_ncnn(network, geometry.crop, pictures, folder, row, report):
            network_files = {name: network_files[name] for name in ("fp32", "int8")}
        if options.torchscript:
            network_files["torchscript"] = NETWORK_FILES["torchscript"]
            export.to_torchscript(network, geometry.crop, folder / network_files["torchscript"])
        with report.progress("Calibrating INT8", len(pictures.calibration)) as step:
            quantize(folder / network_files["fp32"], folder / network_files["int8"], pictures.calibration, step)

        threads = available_cpus()
        fp32 = OpenVINOEngine([folder / network_files["fp32"]], "fp32", threads, geometry.crop)
        int8 = OpenVINOEngine([folder / network_files["int8"]], "int8", threads, geometry.crop)
        verdict = gate.judge(fp32, int8, pictures, report)
        manifest = bundle.Manifest(
            architecture=row.architecture,
            weights=trained.info,
            resize=geometry.resize,
            crop=geometry.crop,
            interpolation=geometry.interpolation,
            classes=len(trained.labels),
            networks=network_files,
            default_precision="int8" if verdict.passed else "fp32",
            samples=samples.record(folder, pictures, geometry, network, int8),
            **normalization,
            accuracy=verdict.accuracy,
            agreement=verdict.agreement,
            features=features,
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


def _available(options: Options, report: Reporter) -> Network:
    """Return the first row of AUTO_ORDER whose weights can be had, and say which it is where that is not the first."""
    reasons: list[str] = []
    for name in AUTO_ORDER:
        row = networks.find(name, None if reasons else options.architecture)
        try:
            _fetch(row, report)
            break
        except (Unreachable, Corrupt) as error:  # a proxy's page instead of the file is the second
            reasons.append(f"The {name} weights cannot be had: {str(error).rstrip('.')}")
    if reasons:
        report.say(
            f"\n{'. '.join(reasons)}. Going on with {name}, {row.summary}: the page, /version and the "
            f"log say so. When that is mended: make run MODEL_WEIGHTS={AUTO_ORDER[0]}\n"
        )
    return row


def _fetch(row: Network, report: Reporter) -> None:
    if row.file:
        with report.progress(f"Fetching the {row.weights} weights", 0) as step:
            weights.fetch(row.file, step)


def _trained(row: Network, options: Options, report: Reporter) -> weights.Trained:
    if row.file:
        if options.weights != AUTO:  # which has fetched them to find out whether they can be
            _fetch(row, report)
        return weights.fetched(row)
    if row.weights == "timm":
        return weights.of_timm(row)
    if row.weights == "digits":
        data = digits.load()
        with report.progress("Training on handwritten digits", digits.steps(data)) as step:
            return weights.trained_digits(row, lambda _loss: step(1), data)
    if row.weights == "untrained":
        return weights.untrained(row)
    own = weights.from_file(Path(options.weights), row, options.labels)
    for line in (own.remark, labels.summary(own.labels)):
        if line:
            report.say(line)
    return own


def _geometry(preset: Preprocessing, options: Options) -> images.Geometry:
    """Keep the preset's ratio of resize to crop (256 : 224) where only the input size is given."""
    crop = options.input_size or preset.crop
    resize = options.resize or round(crop * preset.resize / preset.crop)
    if resize < crop:
        raise BuildError(f"--resize {resize} is less than the {crop} pixels that are cut out of it (--input-size)")
    return images.Geometry(resize, crop, options.interpolation or preset.interpolation)


def _try(network: PixelNetwork, pictures: PictureSet, name: str) -> tuple[int, int, int] | None:
    """Find out what would make the quantiser fail in the middle: numbers that overflow, and negative variances.

    Returns the shape [C, h, w] of the features, None where the network gives none.
    """
    try:
        with torch.inference_mode():
            logits, *features = network.outputs(torch.from_numpy(pictures.calibration[:2]))
    except (RuntimeError, AssertionError) as error:  # of timm's, some are made for one size
        size = pictures.calibration.shape[1]
        raise BuildError(f"{name} cannot take pictures of {size} x {size} pixels: {error}") from None
    if not logits.isfinite().all():
        raise BuildError(f"{name} answers a picture with numbers that are not finite: its training has diverged")
    if not features:
        return None
    _, channels, height, width = features[0].shape
    return channels, height, width


def _to_ncnn(
    network: PixelNetwork, size: int, pictures: PictureSet, folder: Path, row: Network, report: Reporter
) -> bool:
    """Write the network for ncnn; return whether that is right. What timm has is not all known to ncnn."""
    files = folder / NETWORK_FILES["ncnn"], folder / NETWORK_FILES["ncnn_graph"]
    if not row.architecture.startswith(TIMM):
        export.to_ncnn(network, size, *files)
        return True
    some = pictures.calibration[:2]
    with torch.inference_mode():
        expected = network(torch.from_numpy(some)).numpy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # checked below
            export.to_ncnn(network, size, *files)
        found = NcnnEngine(files, "fp32", 1, size).logits(some)
        why = "" if np.allclose(found, expected, atol=1e-2 * np.abs(expected).max()) else "its answers are others"
    except (ServiceError, ValueError, RuntimeError) as error:
        why = str(error)
    if why:
        report.say(f"Going on without ncnn, which cannot run {row.architecture} ({why}): OpenVINO runs it")
        for file in files:
            file.unlink(missing_ok=True)
    return not why


def _pictures(trained: weights.Trained, geometry: images.Geometry, folder: Path | None, report: Reporter) -> PictureSet:
    if folder is not None:
        return from_folder(folder, geometry, trained.labels, report)
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
