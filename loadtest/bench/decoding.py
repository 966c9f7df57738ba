"""What scaled decoding saves: torchvision's preset after a full decode, beside the service's own way."""

from __future__ import annotations

import io
import statistics
import time

import numpy as np
from PIL import Image

from loadtest.bench.result import Decoding
from service.model import images
from service.model.limits import Limits


def compare(data: bytes, rounds: int) -> Decoding:
    """Compare both on one file: median milliseconds, their ratio, and the mean difference in grey levels."""
    from loadtest.bench.vision import torchvision

    functional = torchvision.transforms.functional

    def full() -> images.Pixels:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        cropped: images.Pixels = np.asarray(functional.center_crop(functional.resize(picture, [256]), [224]))
        return cropped

    def scaled() -> images.Pixels:
        return images.load(data, images.Geometry(), Limits())

    times: dict[str, list[float]] = {"full": [], "scaled": []}
    for _ in range(rounds):
        for name, work in (("full", full), ("scaled", scaled)):
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {
        "full_ms": 1000 * statistics.median(times["full"]),
        "scaled_ms": 1000 * statistics.median(times["scaled"]),
        "ratio": statistics.median(a / b for a, b in zip(times["full"], times["scaled"], strict=True)),
        "difference": float(np.abs(full().astype(int) - scaled().astype(int)).mean()),
    }
