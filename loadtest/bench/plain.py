"""The service that tutorials end with, for comparison: `python -m loadtest.bench.plain PORT`.

Flask's own server, TorchScript, torchvision's transforms, every default as it comes. POST /predict takes the bytes of a
picture like the real service. The network has random parameters: only its speed is of interest.
"""

from __future__ import annotations

import io
import sys

import torch
from flask import Flask, Response, jsonify, request
from PIL import Image

# torchvision beside a torch without CUDA: wheels from the package registry then miss operators that nothing needs.
# Declarations live as long as this object.
_library = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402  # only after the operators are declared


def create_app() -> Flask:
    """Make the application as a tutorial would."""
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None).eval()
    network = torch.jit.trace(network, torch.zeros(1, 3, 224, 224))
    transform = torchvision.transforms.Compose(
        [
            torchvision.transforms.Resize(256),
            torchvision.transforms.CenterCrop(224),
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    labels = weights.meta["categories"]
    app = Flask(__name__)

    @app.get("/")
    def index() -> str:
        return "ready"

    @app.post("/predict")
    def predict() -> Response:
        picture = Image.open(io.BytesIO(request.get_data())).convert("RGB")
        with torch.no_grad():
            probabilities = network(transform(picture)[None])[0].softmax(0)
        values, indices = probabilities.topk(3)
        likeliest = zip(values.tolist(), indices.tolist(), strict=True)
        return jsonify({"predictions": [{"label": labels[i], "index": i, "probability": p} for p, i in likeliest]})

    return app


if __name__ == "__main__":
    create_app().run(port=int(sys.argv[1]))
