"""A bundle's network, run: uint8 [N, H, W, 3] pixels become float32 [N, classes] logits.

One small interface, four engines, a module each. Each is told how many threads to use; none is left to count
processors by itself, because their own counts ignore the cgroup quota or the affinity mask. Each may be called from
several threads at once.

The packages are imported when an engine is made: a server needs only the one it runs, and never PyTorch unless
ENGINE=torch asks for it. `serve` chooses an engine before gunicorn starts, and does not wait for NumPy there.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from service.bundle import Bundle
from service.errors import EngineError

if TYPE_CHECKING:
    from service.engines.base import Engine

_PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "ncnn": "ncnn", "torch": "torch"}
_OWN_NETWORKS = {"ncnn": ("ncnn", "ncnn_graph"), "torch": ("torchscript",)}  # FP32, in a form of their own


def _installed(name: str) -> bool:
    return importlib.util.find_spec(_PACKAGES[name]) is not None


def networks(engine: str, precision: str) -> tuple[str, ...]:
    """List the files of a bundle that an engine reads, as Bundle.network names them."""
    return _OWN_NETWORKS.get(engine, (precision,))


def choose(bundle: Bundle, engine: str = "auto", precision: str = "auto") -> tuple[str, str]:
    """Return the engine and the precision that a bundle is served with, each as asked for or, for "auto", the best.

    The precision is then what the bundle's accuracy gate allowed; the engine OpenVINO for INT8 and for FP32 ncnn, which
    is a third faster (docs/decisions.md), where it is installed and the bundle holds its network.
    """
    if precision == "auto":
        precision = "fp32" if engine in _OWN_NETWORKS else bundle.manifest.default_precision
    if engine == "auto":
        held = set(networks("ncnn", precision)) <= set(bundle.manifest.networks)
        engine = "ncnn" if precision == "fp32" and held and _installed("ncnn") else "openvino"
    return engine, precision


def check_available(name: str) -> None:
    """Raise EngineError, with the remedy, where the engine's package is not installed; imports nothing."""
    if not _installed(name):
        package = _PACKAGES[name]
        raise EngineError(
            f"ENGINE={name} needs the package {package}: pip install {package}, or choose another engine."
        )


def open_engine(bundle: Bundle, name: str, precision: str, threads: int) -> Engine:
    """Load and compile a bundle's network.

    Args:
        bundle: a verified bundle.
        name: openvino, onnxruntime, ncnn or torch, or auto for the best.
        precision: fp32 or int8, or auto for the bundle's default.
        threads: processors to use, at least 1.

    Raises:
        BundleError: the bundle does not hold such a network.
        EngineError: the engine is not installed, or cannot compile the network here.
    """
    name, precision = choose(bundle, name, precision)
    check_available(name)
    files = [bundle.network(kind) for kind in networks(name, precision)]
    size = bundle.manifest.crop
    try:
        if name == "openvino":
            from service.engines.openvino import OpenVINOEngine

            return OpenVINOEngine(files[0], precision, threads, size)
        if name == "onnxruntime":
            from service.engines.onnxruntime import ONNXRuntimeEngine

            return ONNXRuntimeEngine(files[0], precision, threads)
        if name == "ncnn":
            from service.engines.ncnn import NcnnEngine

            return NcnnEngine(files[0], files[1], threads)
        from service.engines.torchscript import TorchEngine

        return TorchEngine(files[0], precision, threads)
    except Exception as error:  # each engine raises classes of its own, without a common ancestor
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise EngineError(f"ENGINE={name} cannot load {files[0]}: {reason}") from error
