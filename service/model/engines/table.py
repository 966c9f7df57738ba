"""Every engine, a row each: what is known of one stands here and nowhere else. Imports nothing.

Settings, the choice of `auto`, opening, `pack`, and the benchmark derive from it. A new engine is a row
and a module beside this one (CONTRIBUTING.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# The networks that a bundle may hold, by the name that its manifest gives them, and the file of each.
NETWORK_FILES = {
    "fp32": "network.onnx",
    "int8": "network.int8.onnx",
    "ncnn": "network.ncnn.bin",
    "ncnn_graph": "network.ncnn.param",
    "torchscript": "network.ts",
}


@dataclass(frozen=True)
class EngineSpec:
    """What runs a network.

    Attributes:
        package: what has to be installed.
        opener: the module beside this one, and its class; made as `Class(files, precision, threads, input_size)`.
        networks: by precision, which of NETWORK_FILES it reads, in the order in which its class takes them.
        writes_code: whether it generates machine code for this processor when it loads a network, which hardened
            systems may forbid.
    """

    package: str
    opener: tuple[str, str]
    networks: Mapping[str, tuple[str, ...]]
    writes_code: bool = False


_ONNX = {"int8": ("int8",), "fp32": ("fp32",)}

ENGINES: dict[str, EngineSpec] = {
    "openvino": EngineSpec("openvino", ("openvino", "OpenVINOEngine"), _ONNX, writes_code=True),
    "onnxruntime": EngineSpec("onnxruntime", ("onnxruntime", "ONNXRuntimeEngine"), _ONNX),
    "ncnn": EngineSpec("ncnn", ("ncnn", "NcnnEngine"), {"fp32": ("ncnn", "ncnn_graph")}),
    "torch": EngineSpec("torch", ("torchscript", "TorchEngine"), {"fp32": ("torchscript",)}, writes_code=True),
}
PRECISIONS = ("fp32", "int8")

# What `auto` takes: the first that is installed and whose networks are in the bundle (docs/decisions.md has the times).
PREFERRED = {"int8": ("openvino",), "fp32": ("ncnn", "openvino")}


def networks_to_serve(precision: str) -> set[str]:
    """Return which networks a bundle needs so that `auto` finds the best engine of a precision, and its second."""
    return {network for engine in PREFERRED[precision] for network in ENGINES[engine].networks[precision]}
