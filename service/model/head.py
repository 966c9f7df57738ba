"""The linear layer after the features: what whoever computes from features weighs them with.

It stands in the bundle's ONNX files and nowhere else: a file of its own would double EfficientNet-Lite0's INT8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import BundleError
from service.model.bundle import REMEDY, Bundle

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """A network's last layer.

    Attributes:
        weight: float32 [classes, C].
        bias: float32 [classes].
    """

    weight: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """Return the logits [N, classes] of features [N, C, h, w]."""
        result: Floats = features.mean((2, 3)) @ self.weight.T + self.bias
        return result


def read(bundle: Bundle, precision: str) -> Head:
    """Return the layer as a network computes with it: of INT8 what its integers stand for.

    Args:
        bundle: a verified bundle.
        precision: fp32 or int8.

    Raises:
        BundleError: the bundle has no such network, or it gives no features.
    """
    if bundle.manifest.features is None:
        raise BundleError(f"{bundle.path} gives no features, and has no linear layer after them. {REMEDY}")
    import openvino

    model = openvino.Core().read_model(bundle.network(precision))
    layer = next(op for op in reversed(model.get_ordered_ops()) if op.get_type_name() == "MatMul")
    weight = _constant(openvino, layer.input_value(1))
    if not layer.get_attributes()["transpose_b"]:
        weight = weight.T
    bias = np.zeros(len(weight), np.float32)
    # What ONNX's Gemm becomes: MatMul, Multiply by its alpha, Add.
    for kind in ("Multiply", "Add"):
        (target, *_) = layer.output(0).get_target_inputs()
        following = target.get_node()
        if following.get_type_name() != kind:
            continue
        layer = following
        values = _constant(openvino, layer.input_value(1 - target.get_index()))
        if kind == "Add":
            bias = np.broadcast_to(values.reshape(-1), bias.shape)
        else:
            weight = weight * values
    return Head(np.ascontiguousarray(weight), np.ascontiguousarray(bias))


def _constant(openvino: Any, output: Any) -> Floats:
    """Compute what does not depend on a picture: a constant, or what integers become by their scales."""
    model = openvino.Model([output], [])
    tensor = openvino.Tensor(output.get_element_type(), output.get_shape())
    model.evaluate([tensor], [])
    return np.array(tensor.data, np.float32)
