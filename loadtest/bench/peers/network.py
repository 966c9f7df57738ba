"""What all peers share: bytes to the three likeliest classes, by Pillow and OpenVINO with one thread."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
from PIL import Image

RESIZE, CROP = 256, 224  # torchvision's preset for ResNet-18

# Processes started by a framework inherit nothing but the environment.
NETWORK_VARIABLE = "PEER_NETWORK"


def preset(data: bytes) -> npt.NDArray[np.uint8]:
    """Return a picture as torchvision's preset has Pillow do it: decoded in full, resized, cropped; [224, 224, 3]."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    scale = RESIZE / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
    left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
    return np.asarray(picture.crop((left, top, left + CROP, top + CROP)))


class Network:
    """An ONNX network, uint8 [1, 224, 224, 3] in, float32 [1, classes] logits out."""

    def __init__(self) -> None:
        core = openvino.Core()
        model = core.read_model(Path(os.environ[NETWORK_VARIABLE]))
        for features in model.outputs[1:]:  # nobody reads them, as in this project's own service
            model.remove_result(features.node)
        model.reshape([1, CROP, CROP, 3])
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def classify(self, data: bytes) -> dict[str, Any]:
        """Return the three likeliest classes of a picture file, as this project's own service does."""
        logits = self._request.infer([preset(data)[None]])[0][0]
        weights = np.exp(logits - logits.max())
        probabilities = weights / weights.sum()
        order = np.argsort(-probabilities)[:3]
        return {"predictions": [{"index": int(i), "probability": float(probabilities[i])} for i in order]}
