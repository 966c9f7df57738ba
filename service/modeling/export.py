"""A PyTorch network becomes files that need no PyTorch: ONNX in FP32, and TorchScript where it is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

OPSET = 20  # OpenVINO 2026 and ONNX Runtime 1.26 read it
_MAX_BATCH = 1024
INPUT, OUTPUT = "pixels", "logits"


def to_onnx(network: nn.Module, size: int, file: Path) -> None:
    """Write `network` (uint8 [N, size, size, 3] to float32 [N, classes]) as ONNX with a free batch dimension.

    The same network always gives the same bytes: the exporter's notes on the Python code that it came from, with the
    paths of this machine, are removed.
    """
    # With a single picture in the example the exporter would take the batch dimension for the constant 1.
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13's exporter uses what torch 2.13 deprecates
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: batch},),
            verbose=False,
        )
    assert program is not None  # noqa: S101  # dynamo=True without a file always returns one
    model = program.model_proto
    for item in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
    ):
        del item.metadata_props[:]
        item.doc_string = ""
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, file)


def to_torchscript(network: nn.Module, size: int, file: Path) -> None:
    """Write `network` as TorchScript, frozen and traced, with a free batch dimension."""
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        traced = torch.jit.freeze(torch.jit.trace(network, example))
    torch.jit.save(traced, file)
