"""OpenVINO: the fastest engine for INT8, and quick to start."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.model.engines.base import Engine


class OpenVINOEngine(Engine):
    """OpenVINO on the processor, compiled twice: all threads on one picture, and one thread on each of several.

    Measured on two cores with INT8: alone, the first form takes half the time; with two callers, the second has a fifth
    more throughput (docs/decisions.md). The second form costs 41 MB.
    """

    name = "openvino"

    def __init__(self, files: Sequence[Path], precision: str, threads: int, input_size: int) -> None:
        import openvino

        self.precision, self.threads = precision, threads
        self.version = openvino.__version__.split("-")[0]
        core = openvino.Core()
        model = core.read_model(files[0])
        self.gives_features = len(model.outputs) > 1
        # A fixed shape compiles to faster code than a free batch dimension.
        model.reshape([1, input_size, input_size, 3])
        with ThreadPoolExecutor() as pool:  # compiling takes one processor each
            wide = pool.submit(_CompiledForm, core, model, threads, streams=1)
            narrow = pool.submit(_CompiledForm, core, model, threads, streams=threads) if threads > 1 else wide
            self._wide, self._narrow = wide.result(), narrow.result()
        # The first call of a process is made by one thread alone: where several made it at once, they waited for one
        # another for ever, in 3 of 18 starts, and with them whoever needs the interpreter (OpenVINO 2026.4.1).
        self._wide.run(np.zeros((1, input_size, input_size, 3), np.uint8), 1)

    def _run(self, pixels: npt.NDArray[np.uint8], exclusive: bool, outputs: int) -> list[npt.NDArray[np.float32]]:
        """See Engine; the pictures of a batch run one after the other."""
        return (self._wide if exclusive else self._narrow).run(pixels, outputs)


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

    def run(self, pixels: npt.NDArray[np.uint8], outputs: int) -> list[npt.NDArray[np.float32]]:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()  # as many as there are callers at once, then reused
        try:
            found = []
            for picture in pixels:
                results = request.infer([picture[None]], share_inputs=True, share_outputs=True)
                found.append([np.array(results[index]) for index in range(outputs)])  # copies: the next run overwrites
            return [np.concatenate(values) for values in zip(*found, strict=True)]
        finally:
            self._idle.put(request)
