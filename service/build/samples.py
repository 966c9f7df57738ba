"""The sample pictures of a bundle, and the answers that its known-answer test expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from service.build.networks import PixelNetwork
from service.build.pictures import PictureSet
from service.model import bundle, images
from service.model.classifier import softmax
from service.model.engines.base import Engine
from service.model.limits import Limits

_RECORDED = 3  # labels per sample


def record(
    folder: Path, pictures: PictureSet, geometry: images.Geometry, network: PixelNetwork, int8: Engine
) -> list[bundle.Sample]:
    """Write the sample pictures and record their answers: FP32's by PyTorch itself, INT8's by the default engine."""
    (folder / bundle.SAMPLES).mkdir()
    recorded = []
    for name, data in pictures.samples:
        (folder / bundle.SAMPLES / name).write_bytes(data)
        pixels = images.load(data, geometry, Limits())[None]  # [1, H, W, 3]
        with torch.inference_mode():
            exact = network(torch.from_numpy(pixels)).numpy()
        answers = {}
        for precision, logits in (("fp32", exact), ("int8", int8.logits(pixels))):
            probabilities = softmax(logits)[0]
            likeliest = np.argsort(-probabilities)[:_RECORDED]
            answers[precision] = [(int(i), round(float(probabilities[i]), 6)) for i in likeliest]
        recorded.append(bundle.Sample(f"{bundle.SAMPLES}/{name}", answers))
    return recorded
