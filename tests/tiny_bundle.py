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
NAMES = ("red", "green", "blue", *(f"colour {index}" for index in range(3, CLASSES)))
CHINESE = {"red": "红", "green": "绿", "blue": "蓝"}
_SHARPNESS = 8.0  # logits a grey level of 255 apart


def weights() -> npt.NDArray[np.float32]:
    """Return what the mean colour is multiplied with: float32 [3, CLASSES]."""
    matrix = np.zeros((3, CLASSES), np.float32)
    matrix[range(3), range(3)] = _SHARPNESS / 255
    return matrix


def network() -> bytes:
    """Return the ONNX file: uint8 [N, H, W, 3] in, float32 [N, CLASSES] out."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(weights(), "weights"),
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


def make(folder: Path) -> bundle.Bundle:
    """Write the bundle."""
    data = network()
    networks = {"fp32": "network.onnx", "int8": "network.int8.onnx"}
    (folder / bundle.SAMPLES).mkdir(parents=True)
    for file in networks.values():
        (folder / file).write_bytes(data)
    samples = []
    for index, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        file = f"{bundle.SAMPLES}/{NAMES[index]}.png"
        (folder / file).write_bytes(picture(colour))
        exponentials = np.exp(np.array(colour, np.float32) @ weights())
        probability = round(float(exponentials[index] / exponentials.sum()), 6)
        samples.append(bundle.Sample(file, {name: [(index, probability)] for name in networks}))
    manifest = bundle.Manifest(
        architecture="tiny",
        weights=bundle.Weights("custom", "tests/tiny_bundle.py", "0" * 64, "Knows mean colours; made for tests."),
        resize=SIZE,
        crop=SIZE,
        classes=CLASSES,
        networks=networks,
        default_precision="int8",
        samples=samples,
    )
    labels = [bundle.Label(index, None, name, CHINESE.get(name, name)) for index, name in enumerate(NAMES)]
    return bundle.write(folder, manifest, labels)
