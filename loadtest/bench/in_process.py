"""What this machine could do at most, without HTTP: bytes to labels, the engine alone, and decoding by itself."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np

from loadtest.bench.peers.network import preset
from loadtest.bench.result import Decoding
from loadtest.measure.clients import Call
from service.model import bundle, images
from service.model.classifier import BundleClassifier
from service.model.engines import open_engine
from service.model.limits import Limits
from service.model.processors import available_cpus


class Ceiling:
    """One network in this process, with the engine that ENGINE=auto chooses, called by as many as there are CPUs."""

    def __init__(self, path: Path, precision: str) -> None:
        self._cpus = available_cpus()
        model_bundle = bundle.read(path)
        self._engine = open_engine(model_bundle, "auto", precision, self._cpus)
        self._classifier = BundleClassifier(model_bundle, self._engine)
        self._classifier.check()

    def loop(self, picture: bytes) -> list[Call]:
        """Return callers that each turn bytes into labels."""

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


def decoding(data: bytes, rounds: int) -> Decoding:
    """Compare torchvision's preset after a full decode with scaled decoding, in alternation, on one file."""

    def scaled() -> images.Pixels:
        return images.load(data, images.Geometry(), Limits())

    times = []  # of both, in seconds
    for _ in range(rounds):
        began = time.perf_counter()
        preset(data)
        middle = time.perf_counter()
        scaled()
        times.append((middle - began, time.perf_counter() - middle))
    full_ms, scaled_ms = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    return {
        "full_ms": full_ms,
        "scaled_ms": scaled_ms,
        "ratio": statistics.median(a / b for a, b in times),
        "difference": float(np.abs(preset(data).astype(int) - scaled().astype(int)).mean()),
    }
