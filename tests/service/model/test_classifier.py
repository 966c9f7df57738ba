from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from service.errors import BundleError, EngineError
from service.model.bundle import Bundle, Sample
from service.model.classifier import BundleClassifier, softmax
from service.model.engines import open_engine
from service.model.engines.base import Engine
from service.model.engines.table import ENGINES
from service.model.images import load
from service.model.limits import Limits


def opened(bundle: Bundle, engine: str = "openvino", precision: str = "auto") -> BundleClassifier:
    return BundleClassifier(bundle, open_engine(bundle, engine, precision, threads=1))


def test_softmax_is_stable_where_exponentials_overflow() -> None:
    logits = np.array([[1000.0, 1000.0, 0.0], [-1000.0, 0.0, 1.0]], np.float32)
    assert softmax(logits) == pytest.approx(np.array([[0.5, 0.5, 0], [0, 0.26894143, 0.7310586]]), abs=1e-6)


def test_a_real_model_knows_its_samples(digits_bundle: Bundle) -> None:
    """The first label of digit-7.png is 7, and so on."""
    classifier = opened(digits_bundle)
    right = 0
    for file in classifier.sample_files():
        pixels = load(file.read_bytes(), classifier.geometry, Limits())
        found = classifier.top(classifier.classify(pixels), 3)
        assert [p.probability for p in found] == sorted((p.probability for p in found), reverse=True)
        right += found[0].label == file.stem.removeprefix("digit-")
    assert right >= 9


def test_labels_come_in_the_language_asked_for(digits_bundle: Bundle) -> None:
    classifier = opened(digits_bundle)
    probabilities = np.array([0.1, 0.6, *[0.3 / 8] * 8], np.float32)
    assert [p.label for p in classifier.top(probabilities, 2, "zh")] == ["一", "零"]
    assert [p.index for p in classifier.top(probabilities, 4)] == [1, 0, 2, 3]  # equals come in the classes' order


@pytest.mark.parametrize("engine", ENGINES)
def test_the_known_answer_test_passes_on_every_engine(
    engine: str, digits_bundle: Bundle, untrained_bundle: Bundle
) -> None:
    for bundle in (digits_bundle, untrained_bundle):
        for precision in ("fp32",) if engine in ("ncnn", "torch") else ("fp32", "int8"):
            opened(bundle, engine, precision).check()


class Wrong(Engine):
    """An engine whose logits are spoilt."""

    name, precision, threads, version, gives_features = "wrong", "fp32", 1, "0", False

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        self._logits = logits

    def _run(self, pixels: npt.NDArray[np.uint8], exclusive: bool, outputs: int) -> list[npt.NDArray[np.float32]]:
        return [self._logits]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_the_known_answer_test_fails_for_an_engine_that_computes_wrongly(value: float, digits_bundle: Bundle) -> None:
    """Equal logits, or not even numbers: the service must not call itself ready."""
    engine = Wrong(np.full((1, 10), value, np.float32))
    with np.errstate(invalid="ignore"), pytest.raises(EngineError, match=r"known-answer test failed: samples/digit-0"):
        BundleClassifier(digits_bundle, engine).check()


def test_the_known_answer_test_fails_for_another_networks_answers(untrained_bundle: Bundle) -> None:
    """An untrained network's probabilities are all small: a fixed tolerance would accept anything."""
    samples = [
        Sample(s.file, {key: [((i + 7) % 1000, p) for i, p in value] for key, value in s.answers.items()})
        for s in untrained_bundle.manifest.samples
    ]
    manifest = dataclasses.replace(untrained_bundle.manifest, samples=samples)
    with pytest.raises(EngineError, match="known-answer test failed"):
        opened(dataclasses.replace(untrained_bundle, manifest=manifest), precision="fp32").check()


def test_open_follows_the_settings(digits_bundle: Bundle) -> None:
    described = BundleClassifier.open(digits_bundle.path, "onnxruntime", "fp32", 1).describe()
    assert (described.engine, described.precision, described.threads) == ("onnxruntime", "fp32", 1)
    assert (described.weights, described.classes, described.bundle_sha256) == ("digits", 10, digits_bundle.sha256)


def test_a_missing_bundle_is_an_error_that_says_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(BundleError, match="python -m service build"):
        BundleClassifier.open(tmp_path_factory.mktemp("empty"))
