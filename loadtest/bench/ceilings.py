"""What this machine could do at most: bytes to labels in a loop without HTTP, and the engine alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from loadtest.bench.clients import Call
from service.model import bundle, images
from service.model.classifier import BundleClassifier
from service.model.engines import open_engine
from service.model.limits import Limits
from service.model.processors import available_cpus


class Ceiling:
    """One network in this process, with the engine that ENGINE=auto chooses."""

    def __init__(self, path: Path, precision: str) -> None:
        self.precision = precision
        self._cpus = available_cpus()
        model_bundle = bundle.read(path)
        self._engine = open_engine(model_bundle, "auto", precision, self._cpus)
        self._classifier = BundleClassifier(model_bundle, self._engine)
        self._classifier.check()

    def loop(self, picture: bytes) -> list[Call]:
        """Return as many callers as there are processors, each turning bytes into labels."""

        def call() -> int:
            pixels = images.load(picture, self._classifier.geometry, Limits())
            self._classifier.top(self._classifier.classify(pixels, exclusive=self._cpus == 1), 3)
            return 200

        return [call] * self._cpus

    def engine(self) -> list[Call]:
        """Return callers that only run the network."""
        crop = self._classifier.geometry.crop
        pixels = np.zeros((1, crop, crop, 3), np.uint8)

        def call() -> int:
            self._engine.logits(pixels, exclusive=self._cpus == 1)
            return 200

        return [call] * self._cpus
