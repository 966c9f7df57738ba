"""A model bundle of a few kilobytes that is made without training, for whoever needs just a server.

Its network tells the mean colour: one logit for each of three colours, seven more for the rest. It holds both
precisions (the same arithmetic), and no form that only one engine reads.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.model import bundle

SIZE, CLASSES = 32, 10
FEATURES = (3, SIZE, SIZE)
NAMES = ("red", "green", "blue")
CHINESE = {"red": "红", "green": "绿", "blue": "蓝"}
_SHARPNESS = 8.0  # logits a grey level of 255 apart


def weights(classes: int = CLASSES) -> npt.NDArray[np.float32]:
    """Return what the mean colour is multiplied with: float32 [3, classes]."""
    return np.eye(3, classes, dtype=np.float32) * np.float32(_SHARPNESS / 255)


def network(classes: int = CLASSES) -> bytes:
    """Return the ONNX file: uint8 [N, H, W, 3] in; float32 [N, classes] and, as features, [N, 3, H, W] out."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["values"], ["features"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMean", ["features", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", *FEATURES]),
        ],
        [
            numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
            numpy_helper.from_array(weights(classes), "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def picture(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), colour).save(buffer, "PNG")
    return buffer.getvalue()


def make(folder: Path, classes: int = CLASSES) -> bundle.Bundle:
    """Write the bundle."""
    data = network(classes)
    networks = {"fp32": "network.onnx", "int8": "network.int8.onnx"}
    (folder / bundle.SAMPLES).mkdir(parents=True)
    for file in networks.values():
        (folder / file).write_bytes(data)
    samples = []
    for index, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)][:classes]):
        file = f"{bundle.SAMPLES}/{NAMES[index]}.png"
        (folder / file).write_bytes(picture(colour))
        exponentials = np.exp(np.array(colour, np.float32) @ weights(classes))
        probability = round(float(exponentials[index] / exponentials.sum()), 6)
        samples.append(bundle.Sample(file, {name: [(index, probability)] for name in networks}))
    manifest = bundle.Manifest(
        architecture="tiny",
        weights=bundle.Weights("custom", "tests/tiny_bundle.py", "0" * 64, "Knows mean colours; made for tests."),
        resize=SIZE,
        crop=SIZE,
        classes=classes,
        networks=networks,
        default_precision="int8",
        features=FEATURES,
        samples=samples,
    )
    names = [*NAMES, *(f"colour {index}" for index in range(3, classes))][:classes]
    labels = [bundle.Label(index, None, name, CHINESE.get(name, name)) for index, name in enumerate(names)]
    return bundle.write(folder, manifest, labels)
