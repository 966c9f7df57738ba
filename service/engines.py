"""A bundle's network, run: uint8 [N, H, W, 3] pixels become float32 [N, classes] logits.

One small interface, three engines. Each is told how many threads to use; none is left to count processors by itself,
because their own counts ignore the cgroup quota or the affinity mask. Each may be called from several threads at once.

The packages are imported when an engine is made: a server needs only the one it runs, and never PyTorch unless
ENGINE=torch asks for it.
"""

from __future__ import annotations

import importlib.util
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from service.bundle import Bundle
from service.errors import EngineError

Logits = npt.NDArray[np.float32]  # [N, classes]

_PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch"}


class Engine(Protocol):
    """A network ready to run."""

    name: str
    precision: str
    threads: int
    version: str

    def logits(self, pixels: npt.NDArray[np.uint8], alone: bool = True) -> Logits:
        """Run the network.

        Args:
            pixels: uint8 [N, H, W, 3], RGB.
            alone: whether nothing else wants the processors now. Then all of them work on this call, for the shortest
                latency; otherwise one does, for the highest throughput. An engine may ignore it.

        Returns:
            float32 [N, classes].
        """
        ...


def choose_precision(bundle: Bundle, engine: str, precision: str) -> str:
    """Return "fp32" or "int8": what was asked for or, for "auto", what the bundle's accuracy gate allowed."""
    if precision != "auto":
        return precision
    return "fp32" if engine == "torch" else bundle.manifest.default_precision


def check_available(name: str) -> None:
    """Raise EngineError, with the remedy, where the engine's package is not installed; imports nothing."""
    package = _PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        raise EngineError(
            f"ENGINE={name} needs the package {package}: pip install {package}, or choose another engine."
        )


def open_engine(bundle: Bundle, name: str, precision: str, threads: int) -> Engine:
    """Load and compile a bundle's network.

    Args:
        bundle: a verified bundle.
        name: openvino, onnxruntime or torch.
        precision: fp32 or int8, or auto for the bundle's default.
        threads: processors to use, at least 1.

    Raises:
        BundleError: the bundle does not hold such a network.
        EngineError: the engine is not installed, or cannot compile the network here.
    """
    check_available(name)
    precision = choose_precision(bundle, name, precision)
    file = bundle.network("torchscript" if name == "torch" else precision)
    size = bundle.manifest.crop
    try:
        if name == "openvino":
            return OpenVINOEngine(file, precision, threads, size)
        if name == "onnxruntime":
            return ONNXRuntimeEngine(file, precision, threads)
        return TorchEngine(file, precision, threads)
    except Exception as error:  # each engine raises classes of its own, without a common ancestor
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise EngineError(f"ENGINE={name} cannot load {file}: {reason}") from error


class OpenVINOEngine:
    """OpenVINO on the processor, compiled twice: all threads on one picture, and one thread on each of several.

    Measured on two cores with INT8: alone, the first form takes half the time; with two callers, the second has a fifth
    more throughput (docs/decisions.md). The second form costs 41 MB.
    """

    name = "openvino"

    def __init__(self, file: Path, precision: str, threads: int, size: int) -> None:
        import openvino

        self.precision, self.threads = precision, threads
        self.version = openvino.__version__.split("-")[0]
        core = openvino.Core()
        model = core.read_model(file)
        model.reshape([1, size, size, 3])  # a fixed shape compiles to faster code than a free batch dimension
        with ThreadPoolExecutor() as pool:  # compiling takes one processor each
            wide = pool.submit(_CompiledForm, core, model, threads, streams=1)
            narrow = pool.submit(_CompiledForm, core, model, threads, streams=threads) if threads > 1 else wide
            self._wide, self._narrow = wide.result(), narrow.result()

    def logits(self, pixels: npt.NDArray[np.uint8], alone: bool = True) -> Logits:
        """See Engine.logits; the pictures of a batch run one after the other."""
        return (self._wide if alone else self._narrow).logits(pixels)


class _CompiledForm:
    """One compiled network, and an inference request for each caller at a time."""

    def __init__(self, core: Any, model: Any, threads: int, streams: int) -> None:
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": streams,
                # Pinning counts the machine's cores and ignores the quota: two containers would share one core.
                "ENABLE_CPU_PINNING": False,
                # On processors with bfloat16 the plugin would otherwise compute "FP32" with 8 bits of mantissa.
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()

    def logits(self, pixels: npt.NDArray[np.uint8]) -> Logits:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()  # as many as there are callers at once, then reused
        try:
            return np.concatenate([request.infer([picture[None]], share_inputs=True)[0] for picture in pixels])
        finally:
            self._idle.put(request)


class ONNXRuntimeEngine:
    """ONNX Runtime on the processor."""

    name = "onnxruntime"

    def __init__(self, file: Path, precision: str, threads: int) -> None:
        import onnxruntime

        self.precision, self.threads = precision, threads
        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would burn the processor that the next request's decoding needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def logits(self, pixels: npt.NDArray[np.uint8], alone: bool = True) -> Logits:  # noqa: ARG002  # one form only
        """See Engine.logits."""
        result: Logits = self._session.run(None, {self._input: pixels})[0]
        return result


class TorchEngine:
    """TorchScript: what most tutorials serve, kept for comparison and for networks that ONNX cannot hold."""

    name = "torch"

    def __init__(self, file: Path, precision: str, threads: int) -> None:
        import torch

        self.precision, self.threads = precision, threads
        self.version = str(torch.__version__)
        torch.set_num_threads(threads)
        self._torch = torch
        self._network = torch.jit.load(file, map_location="cpu").eval()

    def logits(self, pixels: npt.NDArray[np.uint8], alone: bool = True) -> Logits:  # noqa: ARG002  # one form only
        """See Engine.logits."""
        with self._torch.inference_mode():
            result: Logits = self._network(self._torch.from_numpy(pixels)).numpy()
        return result
