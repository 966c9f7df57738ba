"""Pictures become the likeliest labels: bundle, engine and softmax together. Knows nothing of HTTP.

Also owns the known-answer test: the pictures that travel with a bundle must still get the answers that were recorded
when it was built, or the service does not call itself ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from service.errors import EngineError
from service.model import bundle as bundles
from service.model.engines import open_engine
from service.model.engines.base import Engine, Features, Logits
from service.model.images import Geometry, Pixels, load
from service.model.limits import Limits
from service.model.processors import available_cpus

Probabilities = npt.NDArray[np.float32]  # [N, classes]


@dataclass(frozen=True)
class Prediction:
    """One label with its probability, from 0 to 1."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True)
class ModelInfo:
    """What is answering: /version shows all of it, answers, metrics, page and log some.

    Attributes:
        weights: which row of networks.NETWORKS they are of, or custom.
        trained_on: one sentence for people.
        threads: processors that the engine uses.
        input_size: the side of the network's input in pixels.
        accuracy, agreement: fractions from 0 to 1 with what they were measured on, as the manifest has them.
    """

    architecture: str
    weights: str
    trained_on: str
    precision: str
    engine: str
    engine_version: str
    threads: int
    classes: int
    input_size: int
    accuracy: dict[str, Any] | None
    agreement: dict[str, Any] | None
    bundle_sha256: str


class Classifier(Protocol):
    """What the web application needs; a test hands it a fake."""

    @property
    def geometry(self) -> Geometry:
        """Return how pictures are to be resized and cut."""
        ...

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        ...

    def classify(self, pixels: Pixels, *, exclusive: bool = True) -> Probabilities:
        """Return the probabilities float32 [classes] of one picture, uint8 [H, W, 3]; `exclusive` as an engine's."""
        ...

    def top(self, probabilities: Probabilities, count: int, lang: str) -> list[Prediction]:
        """Return the `count` likeliest labels, likeliest first."""
        ...

    def describe(self) -> ModelInfo:
        """Return what is answering."""
        ...

    def check(self) -> None:
        """Warm up and run the known-answer test; raises EngineError where an answer differs."""
        ...

    def sample_files(self) -> list[Path]:
        """List the pictures to try."""
        ...


def softmax(logits: Logits) -> Probabilities:
    """Return the softmax over the last axis, shifted by its maximum so that no exponential overflows."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Probabilities = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


class BundleClassifier:
    """The classifier of a model bundle."""

    def __init__(self, bundle: bundles.Bundle, engine: Engine) -> None:
        self._bundle = bundle
        self._engine = engine
        manifest = bundle.manifest
        self.geometry = Geometry(manifest.resize, manifest.crop, manifest.interpolation)
        self.classes = bundle.manifest.classes

    @classmethod
    def open(cls, folder: Path, engine: str = "auto", precision: str = "auto", threads: int = 0) -> BundleClassifier:
        """Read a bundle and compile its network, all of it as the settings of these names say.

        Raises:
            BundleError: the bundle is missing or damaged.
            EngineError: the engine is not installed or cannot run this network.
        """
        bundle = bundles.read(folder, networks_later=True)
        return cls(bundle, open_engine(bundle, engine, precision, threads or available_cpus()))

    def classify(self, pixels: Pixels, *, exclusive: bool = True) -> Probabilities:
        """See Classifier.classify."""
        result: Probabilities = softmax(self._engine.logits(pixels[None], exclusive=exclusive))[0]
        return result

    def with_features(self, pixels: Pixels, *, exclusive: bool = True) -> tuple[Probabilities, Features]:
        """Return the probabilities of one picture, as `classify`, and the features that they come from.

        Args:
            pixels: uint8 [H, W, 3].
            exclusive: as an engine's.

        Returns:
            float32 [classes], and float32 [C, h, w]; `service.model.head.read` has the layer between the two.

        Raises:
            EngineError: this network gives no features.
        """
        logits, features = self._engine.with_features(pixels[None], exclusive=exclusive)
        return softmax(logits)[0], features[0]

    def top(self, probabilities: Probabilities, count: int, lang: str = "en") -> list[Prediction]:
        """See Classifier.top; equal probabilities come in the classes' order."""
        order = np.argsort(-probabilities, kind="stable")[:count]
        labels = self._bundle.labels
        return [Prediction(int(i), labels[i].name(lang), float(probabilities[i])) for i in order]

    def describe(self) -> ModelInfo:
        """See Classifier.describe."""
        manifest = self._bundle.manifest
        return ModelInfo(
            architecture=manifest.architecture,
            weights=manifest.weights.name,
            trained_on=manifest.weights.trained_on,
            precision=self._engine.precision,
            engine=self._engine.name,
            engine_version=self._engine.version,
            threads=self._engine.threads,
            classes=manifest.classes,
            input_size=manifest.crop,
            accuracy=manifest.accuracy,
            agreement=manifest.agreement,
            bundle_sha256=self._bundle.sha256,
        )

    def sample_files(self) -> list[Path]:
        """See Classifier.sample_files."""
        return [self._bundle.path / sample.file for sample in self._bundle.manifest.samples]

    def check(self) -> None:
        """See Classifier.check; the first inferences, the slow ones, happen here and not to a client."""
        for sample in self._bundle.manifest.samples:
            pixels = load((self._bundle.path / sample.file).read_bytes(), self.geometry, Limits())
            for exclusive in (True, False):
                self._check_sample(sample, self.classify(pixels, exclusive=exclusive))

    def _check_sample(self, sample: bundles.Sample, probabilities: Probabilities) -> None:
        answers = sample.answers[self._engine.precision]
        tolerance = self._bundle.manifest.tolerance[self._engine.precision] * max(recorded for _, recorded in answers)
        for index, recorded in answers:
            given = float(probabilities[index])
            # Written so that NaN, which compares false to everything, fails.
            if not abs(given - recorded) <= tolerance:
                raise EngineError(
                    f"known-answer test failed: {sample.file} got probability {given:.4f} for class {index} "
                    f"({self._bundle.labels[index].en}), recorded {recorded:.4f} +- {tolerance:.4f}. The engine "
                    f"{self._engine.name} {self._engine.version} computes wrongly here; choose another with ENGINE."
                )
