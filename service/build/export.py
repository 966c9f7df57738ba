"""A PyTorch network becomes files that need no PyTorch, in FP32: ONNX, ncnn's form, TorchScript where asked for."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import onnx
import pnnx
import torch
from torch import Tensor, nn

from service.build.networks import PixelNetwork
from service.errors import ServiceError

OPSET = 20  # OpenVINO 2026 and ONNX Runtime 1.26 read it
_MAX_BATCH = 1024
INPUT, OUTPUTS = "pixels", ("logits", "features")

_CONVERTER_LIMIT_SEC = 300
# ncnn's layers read parameter 31 as a mask of what they must not use; this bit is Winograd's convolution.
_NO_WINOGRAD = "31=64"
# Planes of a smaller side have too few tiles to pay for reading four times the weights: with the last stage of
# ResNet-18 (7 x 7, 512 channels) excepted, ncnn runs a tenth faster, without AVX-512 a fifth (docs/decisions.md).
_WINOGRAD_FROM = 8
_STRIDE_AT_512 = 32  # by how much a ResNet's planes of 512 channels are smaller than its input, rounded up


class _BothOutputs(nn.Module):
    """What is exported of a network that gives features."""

    def __init__(self, network: PixelNetwork) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return self.network.outputs(pixels)


def _exported(network: PixelNetwork) -> nn.Module:
    return network if network.fc is None else _BothOutputs(network)


def to_onnx(network: PixelNetwork, size: int, file: Path) -> None:
    """Write `network` as ONNX with a free batch dimension: uint8 [N, size, size, 3] in, logits and features out.

    The same network always gives the same bytes: the exporter's notes on the Python code that it came from, with the
    paths of this machine, are removed.
    """
    # With a single picture in the example the exporter would take the batch dimension for the constant 1.
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13's exporter uses what torch 2.13 deprecates
        program = torch.onnx.export(
            _exported(network),
            (example,),
            input_names=[INPUT],
            output_names=OUTPUTS if network.fc is not None else OUTPUTS[:1],
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


def to_torchscript(network: PixelNetwork, size: int, file: Path) -> None:
    """Write `network` as TorchScript, frozen and traced, with a free batch dimension."""
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        traced = torch.jit.freeze(torch.jit.trace(_exported(network), example))
    torch.jit.save(traced, file)


def to_ncnn(network: PixelNetwork, size: int, weights: Path, graph: Path) -> None:
    """Write `network` as ncnn's graph and weights, for float32 [size, size, 3] pixels from 0 to 255.

    The same network always gives the same bytes.

    Raises:
        ServiceError: the converter, pnnx, failed; its last line.
    """
    example = torch.zeros(1, size, size, 3)  # float32: ncnn has no bytes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with torch.inference_mode():
            traced = torch.jit.trace(_exported(network), example)
        torch.jit.save(traced, folder / "net.pt")
        _convert(folder, f"inputshape=[1,{size},{size},3]f32")
        made = [folder / "net.ncnn.bin", folder / "net.ncnn.param"]
        shutil.move(made[0], weights)
        lines = made[1].read_text("utf-8").splitlines()
    if math.ceil(size / _STRIDE_AT_512) < _WINOGRAD_FROM:
        lines = [f"{line} {_NO_WINOGRAD}" if re.match(r"Convolution .* 0=512 1=3 ", line) else line for line in lines]
    graph.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _convert(folder: Path, shape: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # the converter's own program, as its package names it
            [pnnx.EXEC_PATH, "net.pt", shape, "fp16=0", "device=cpu"],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CONVERTER_LIMIT_SEC,
            check=False,
        )
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        made = (folder / "net.ncnn.bin").is_file() and (folder / "net.ncnn.param").is_file()
        failure = "" if made and not done.returncode else said[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    if failure:
        raise ServiceError(f"pnnx {version('pnnx')} could not convert the network for ncnn: {failure}")
