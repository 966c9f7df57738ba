"""FP32 ONNX becomes INT8 ONNX: static, a scale per output channel, calibrated on pictures.

ONNX Runtime's quantiser writes the network. It is told the activations' ranges, from their minimum to their maximum,
and the weights' scales; biases are corrected before. What else was tried is in docs/decisions.md.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData, save_tensors_data
from onnxruntime.quantization.shape_inference import quant_pre_process

from service.build import rounding
from service.build.export import INPUT
from service.build.pictures import Batch
from service.model.processors import available_cpus

METHOD = (
    f"ONNX Runtime {onnxruntime.__version__}: activations from minimum to maximum; 8-bit weights, a scale per channel, "
    "pairs of them too small to saturate 16 bits; biases corrected; logits in FP32"
)


@dataclass(frozen=True)
class _Layer:
    node: onnx.NodeProto
    weights: rounding.Weights  # [outputs, inputs of one output's group, taps]


@dataclass(frozen=True)
class _Observed:
    """Of every tensor between layers its range, and of a layer's input the mean of each channel."""

    ranges: TensorsData
    means: dict[str, npt.NDArray[np.floating]]


def quantize(source: Path, target: Path, pictures: Batch, on_picture: Callable[[], None] | None = None) -> None:
    """Quantise `source` to `target`.

    Args:
        source: an FP32 ONNX file as `export.to_onnx` writes it.
        target: where the INT8 file goes.
        pictures: uint8 [N, H, W, 3] to calibrate on.
        on_picture: called for each picture.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = folder / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(prepared)
        layers = list(_layers(model))
        observed = _observe(model, layers, pictures, on_picture)
        overrides = {}
        for layer in layers:
            scale = rounding.scales(layer.weights)
            overrides[layer.node.input[1]] = [
                {"axis": 0, "quant_type": QuantType.QInt8, "scale": step, "zero_point": np.int8(0)} for step in scale
            ]
            _correct_bias(model, layer, rounding.mean_error(layer.weights, scale, observed.means[layer.node.input[0]]))
        onnx.save(model, prepared)
        save_tensors_data(observed.ranges, folder / "ranges.json")
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # it warns through the root logger of nodes that it leaves in FP32 on purpose
        try:
            quantize_static(
                str(prepared),
                str(target),
                None,
                calibration_cache_path=folder / "ranges.json",
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,  # 7 bits, for weights of other layers than `_layers` knows
                extra_options={
                    "TensorQuantOverrides": overrides,
                    # Logits in 256 steps would tie, and cost probabilities their digits.
                    "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"],
                },
            )
        finally:
            root.setLevel(level)


def _layers(model: onnx.ModelProto) -> Iterator[_Layer]:
    """Find the convolutions and linear layers whose weights are [outputs, ...]."""
    constants = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Conv" or (node.op_type == "Gemm" and attributes.get("transB")):
            weights = constants.get(node.input[1])
            if weights is not None:
                array = numpy_helper.to_array(weights)
                yield _Layer(node, array.reshape(*array.shape[:2], -1))


def _observe(
    model: onnx.ModelProto, layers: list[_Layer], pictures: Batch, on_picture: Callable[[], None] | None
) -> _Observed:
    """Run the FP32 network on each picture, reduced within the graph: whole activations would fill the memory."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    graph = watched.graph
    made = {output for node in graph.node for output in node.output}
    tensors = [
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.name in made and value.type.tensor_type.elem_type == TensorProto.FLOAT
    ]
    inputs = {layer.node.input[0]: layer.node.op_type for layer in layers}
    graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), "plane"))
    graph.initializer.append(numpy_helper.from_array(np.array([0]), "batch"))
    del graph.output[:]
    for tensor in tensors:
        for kind in ("Min", "Max"):
            graph.node.append(helper.make_node(f"Reduce{kind}", [tensor], [f"{kind}:{tensor}"], keepdims=0))
    for tensor, kind in inputs.items():
        axes = "plane" if kind == "Conv" else "batch"
        graph.node.append(helper.make_node("ReduceMean", [tensor, axes], [f"Mean:{tensor}"], keepdims=0))
    outputs = [f"{kind}:{tensor}" for kind in ("Min", "Max") for tensor in tensors]
    outputs += [f"Mean:{tensor}" for tensor in inputs]
    graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    session = _session(watched)
    found = []
    for picture in pictures:
        found.append(session.run(outputs, {INPUT: picture[None]}))  # [1, H, W, 3]
        if on_picture:
            on_picture()
    series = dict(zip(outputs, (np.stack(values) for values in zip(*found, strict=True)), strict=True))
    ranges = {
        tensor: TensorData(lowest=series[f"Min:{tensor}"].min(), highest=series[f"Max:{tensor}"].max())
        for tensor in tensors
    }
    return _Observed(
        TensorsData(CalibrationMethod.MinMax, ranges),
        {tensor: series[f"Mean:{tensor}"].mean(0, dtype=np.float64) for tensor in inputs},
    )


def _session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cpus()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _correct_bias(model: onnx.ModelProto, layer: _Layer, error: npt.NDArray[np.float32]) -> None:
    """Give the layer a bias of its own, `error` more than it had; several layers may share one."""
    name = f"{layer.node.output[0]}_bias"
    if len(layer.node.input) > 2:
        before = next(item for item in model.graph.initializer if item.name == layer.node.input[2])
        error = error + numpy_helper.to_array(before)
        del layer.node.input[2]
    layer.node.input.append(name)
    model.graph.initializer.append(numpy_helper.from_array(error, name))
