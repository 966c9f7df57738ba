"""OpenVINO: the fastest engine for INT8, and quick to start."""

from __future__ import annotations

import mmap
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.model.engines.base import Engine

_Forms = tuple["_CompiledForm", "_CompiledForm"]  # for a caller alone, for several


class OpenVINOEngine(Engine):
    """OpenVINO on the processor, compiled twice: all threads on one picture, and one thread on each of several.

    Measured on two cores with INT8: alone, the first form takes half the time; with two callers, the second has a fifth
    more throughput (docs/decisions.md). The second form costs 41 MB.

    With both outputs it is compiled when features are first asked for: bringing them into the usual order takes 1 to
    2 % of a run, whether anybody reads them or not.
    """

    name = "openvino"

    def __init__(self, files: Sequence[Path], precision: str, threads: int, input_size: int) -> None:
        import openvino

        self.precision, self.threads = precision, threads
        self.version = openvino.__version__.split("-")[0]
        self._core = openvino.Core()
        self._size = input_size
        with files[0].open("rb") as stream:
            # Still this network when another has taken its name, and no memory until it is read again.
            self._file = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._compiling = threading.Lock()
        self._with_features: _Forms | None = None
        model = self._core.read_model(files[0])
        self.gives_features = len(model.outputs) > 1
        for features in model.outputs[1:]:
            model.remove_result(features.node)
        self._logits_only = self._compile(model)

    def _run(self, pixels: npt.NDArray[np.uint8], exclusive: bool, outputs: int) -> list[npt.NDArray[np.float32]]:
        """See Engine; the pictures of a batch run one after the other."""
        forms = self._logits_only if outputs == 1 else self._with_features or self._compile_features()
        return forms[0 if exclusive else 1].run(pixels)

    def _compile_features(self) -> _Forms:
        with self._compiling:  # by the first of several who ask
            if self._with_features is None:
                model = self._core.read_model(self._file[:])
                self._file.madvise(mmap.MADV_DONTNEED)
                self._with_features = self._compile(model)
            return self._with_features

    def _compile(self, model: Any) -> _Forms:
        # A fixed shape compiles to faster code than a free batch dimension.
        model.reshape([1, self._size, self._size, 3])
        with ThreadPoolExecutor() as pool:  # compiling takes one processor each
            wide = pool.submit(_CompiledForm, self._core, model, self.threads, streams=1)
            narrow = wide
            if self.threads > 1:
                narrow = pool.submit(_CompiledForm, self._core, model, self.threads, streams=self.threads)
            forms = wide.result(), narrow.result()
        # The first call of a process is made by one thread alone: where several made it at once, they waited for one
        # another for ever, in 3 of 18 starts, and with them whoever needs the interpreter (OpenVINO 2026.4.1).
        forms[0].run(np.zeros((1, self._size, self._size, 3), np.uint8))
        return forms


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

    def run(self, pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Return every output of the form, [N, ...] each."""
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()  # as many as there are callers at once, then reused
        try:
            found = [request.infer([picture[None]], share_inputs=True).to_tuple() for picture in pixels]
            return [np.concatenate(values) for values in zip(*found, strict=True)]
        finally:
            self._idle.put(request)
