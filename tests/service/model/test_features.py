"""Every engine delivers the feature map that the probabilities come from, where the network has one."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from torch import nn

from service.build import export
from service.build.networks import PixelNetwork
from service.errors import BundleError, EngineError
from service.model import bundle, head
from service.model.bundle import Bundle
from service.model.classifier import BundleClassifier, softmax
from service.model.engines import networks, open_engine
from service.model.engines.base import Engine
from service.model.engines.ncnn import NcnnEngine
from service.model.engines.onnxruntime import ONNXRuntimeEngine
from service.model.engines.openvino import OpenVINOEngine
from service.model.engines.table import ENGINES, PRECISIONS
from service.model.engines.torchscript import TorchEngine
from service.model.images import Geometry, load
from service.model.limits import Limits

Batch = npt.NDArray[np.uint8]


def sample_pictures(made: Bundle) -> Batch:
    geometry = Geometry(made.manifest.resize, made.manifest.crop, made.manifest.interpolation)
    samples = made.manifest.samples[:3]
    return np.stack([load((made.path / sample.file).read_bytes(), geometry, Limits()) for sample in samples])


def opened(made: Bundle, threads: int) -> list[Engine]:
    """Every engine, in every precision, that the bundle holds a network for."""
    return [
        open_engine(made, name, precision, threads)
        for name, spec in ENGINES.items()
        for precision in spec.networks
        if set(networks(name, precision)) <= set(made.manifest.networks)
    ]


def assert_probabilities_come_from_the_features(made: Bundle, engines: int, threads: int) -> None:
    """The mean over the plane, the linear layer and the softmax give what is served, in FP32 to 1e-4.

    INT8's features are FP32's but for rounding.
    """
    pictures = sample_pictures(made)
    assert made.manifest.features is not None
    heads = {precision: head.read(made, precision) for precision in PRECISIONS}
    found = opened(made, threads)
    by_precision = {}
    assert len(found) == engines
    for engine in found:
        last = heads[engine.precision]
        assert last.weight.shape == (made.manifest.classes, made.manifest.features[0])
        assert last.bias.shape == (made.manifest.classes,)
        for exclusive in (True, False)[:threads]:
            logits, features = engine.with_features(pictures, exclusive=exclusive)
            assert features.shape == (len(pictures), *made.manifest.features)
            assert features.dtype == np.float32
            served = softmax(engine.logits(pictures, exclusive=exclusive))
            assert np.abs(softmax(logits) - served).max() <= 1e-5
            computed = softmax(last.logits(features))
            allowed = 1e-4 if engine.precision == "fp32" else made.manifest.tolerance["int8"] * served.max()
            assert np.abs(computed - served).max() <= allowed, engine.name
        by_precision[engine.precision] = features.ravel()
    assert np.corrcoef(by_precision["fp32"], by_precision["int8"])[0, 1] >= 0.9


def test_of_the_tiny_network(tiny_bundle: Bundle) -> None:
    assert_probabilities_come_from_the_features(tiny_bundle, engines=4, threads=1)


def test_of_a_trained_resnet_by_all_engines(digits_bundle: Bundle) -> None:
    assert_probabilities_come_from_the_features(digits_bundle, engines=6, threads=2)


def test_of_efficientnet_lite0(lite0_bundle: Bundle) -> None:
    assert_probabilities_come_from_the_features(lite0_bundle, engines=6, threads=1)


def test_many_who_ask_first_at_once_get_their_own(digits_bundle: Bundle) -> None:
    """OpenVINO compiles for them then; whoever wants only logits meanwhile gets those."""
    pictures = sample_pictures(digits_bundle)
    expected = open_engine(digits_bundle, "openvino", "int8", 2).with_features(pictures)
    engine = open_engine(digits_bundle, "openvino", "int8", 2)
    wrong: list[object] = []

    def call(index: int) -> None:
        picture = slice(index % len(pictures), index % len(pictures) + 1)
        for turn in range(10):
            exclusive = bool(turn % 2)
            if index % 4:
                logits, features = engine.with_features(pictures[picture], exclusive=exclusive)
                right = np.allclose(features, expected[1][picture], atol=1e-4)
            else:
                logits, right = engine.logits(pictures[picture], exclusive=exclusive), True
            if not (right and np.allclose(logits, expected[0][picture], atol=1e-4)):
                wrong.append((index, turn))

    callers = [threading.Thread(target=call, args=(index,)) for index in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert wrong == []


def test_features_are_those_of_the_network_that_was_opened(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Even where another has taken its place since: bundles are replaced while they are served."""
    file = tmp_path / "network.onnx"
    file.write_bytes(tiny_bundle.network("fp32").read_bytes())
    engine = OpenVINOEngine([file], "fp32", 1, tiny_bundle.manifest.crop)
    (tmp_path / "other").write_bytes(b"another network")
    (tmp_path / "other").replace(file)
    assert engine.with_features(sample_pictures(tiny_bundle))[1].shape == (3, *(tiny_bundle.manifest.features or ()))


def test_a_packed_bundle_still_gives_them(tiny_bundle: Bundle, tmp_path: Path) -> None:
    packed = bundle.pack(tiny_bundle, tmp_path / "packed", {"int8"})
    classifier = BundleClassifier.open(packed.path)
    (picture, *_) = sample_pictures(packed)
    probabilities, features = classifier.with_features(picture)
    assert np.allclose(probabilities, classifier.classify(picture))
    assert np.allclose(softmax(head.read(packed, "int8").logits(features[None]))[0], probabilities, atol=1e-4)


def test_a_bundle_from_before_there_were_features_is_served_without(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = bundle.pack(tiny_bundle, tmp_path / "old", tiny_bundle.manifest.networks)
    manifest = json.loads((copy.path / bundle.MANIFEST).read_text("utf-8"))
    assert manifest.pop("features") == [3, 32, 32]
    (copy.path / bundle.MANIFEST).write_text(json.dumps(manifest))
    old = bundle.read(copy.path)
    assert old.manifest.features is None
    with pytest.raises(BundleError, match="gives no features"):
        head.read(old, "fp32")


class _EndsOtherwise(nn.Module):
    """A network with two layers after the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.last(self.layers(x))


def test_a_network_that_ends_otherwise_is_exported_without_and_says_so(tmp_path: Path) -> None:
    """Old bundles' files are like these."""
    network = PixelNetwork(_EndsOtherwise()).eval()
    onnx, script, weights, graph = (tmp_path / name for name in ("onnx", "script", "weights", "graph"))
    export.to_onnx(network, 32, onnx)
    export.to_torchscript(network, 32, script)
    export.to_ncnn(network, 32, weights, graph)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    engines = [
        OpenVINOEngine([onnx], "fp32", 1, 32),
        ONNXRuntimeEngine([onnx], "fp32", 1, 32),
        TorchEngine([script], "fp32", 1, 32),
        NcnnEngine([weights, graph], "fp32", 1, 32),
    ]
    expected = engines[0].logits(pictures)
    for engine in engines:
        assert np.allclose(engine.logits(pictures), expected, atol=1e-4)
        with pytest.raises(EngineError, match="gives no features: it does not end in a mean") as caught:
            engine.with_features(pictures)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("features", [[3, 32], "3x32", [3, 32, "32"], [3, 32, 1.5]])
def test_features_that_are_no_shape_are_refused(features: object, tiny_bundle: Bundle) -> None:
    document = json.loads(json.dumps(dataclasses.asdict(tiny_bundle.manifest)))
    with pytest.raises(ValueError, match="its features are"):
        bundle.Manifest.from_json({**document, "features": features})
