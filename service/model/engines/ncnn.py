"""ncnn: the fastest engine for FP32, by Winograd's convolutions (Lavin and Gray, arXiv:1509.09308)."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.model.engines.base import Engine

# As pnnx, its converter, names them: logits and features.
INPUT, OUTPUTS = "in0", ("out0", "out1")


class NcnnEngine(Engine):
    """ncnn on the processor, loaded twice: all threads on one picture, and one thread on each of several.

    Twice, because ncnn arranges the weights for a number of threads when it loads them.
    """

    name = "ncnn"
    precision = "fp32"

    def __init__(self, files: Sequence[Path], precision: str, threads: int, input_size: int) -> None:  # noqa: ARG002  # one precision, any size
        import ncnn

        weights, graph = files
        self.threads = threads
        self.version = str(ncnn.__version__)
        self._ncnn = ncnn
        self._wide = _load(ncnn, weights, graph, threads)
        self._narrow = _load(ncnn, weights, graph, 1) if threads > 1 else self._wide
        self.gives_features = set(OUTPUTS) <= set(self._wide.output_names())
        self._idle: queue.LifoQueue[tuple[Any, Any]] = queue.LifoQueue()
        # Each thread that calls the wide form gets helpers of its own for good (OpenMP's), as many as there are
        # processors: on 64 of them 128 callers would start 8,000 threads. So one thread calls it, for all.
        self._wide_caller = ThreadPoolExecutor(1, "ncnn-wide")

    def _run(self, pixels: npt.NDArray[np.uint8], exclusive: bool, outputs: int) -> list[npt.NDArray[np.float32]]:
        """See Engine; the pictures of a batch run one after the other."""
        if exclusive and self.threads > 1:
            return self._wide_caller.submit(self._run_form, self._wide, pixels, outputs).result()
        return self._run_form(self._narrow, pixels, outputs)

    def _run_form(self, network: Any, pixels: npt.NDArray[np.uint8], outputs: int) -> list[npt.NDArray[np.float32]]:
        try:
            memory = self._idle.get_nowait()
        except queue.Empty:
            # As many as there are callers at once, then reused: through malloc a run takes a twentieth longer. What
            # lies between layers is asked for by the caller alone, a layer's workspace also by the threads it starts.
            memory = self._ncnn.UnlockedPoolAllocator(), self._ncnn.PoolAllocator()
        try:
            found = [self._run_one(network, picture, outputs, *memory) for picture in pixels]
            return [np.stack(values) for values in zip(*found, strict=True)]
        finally:
            self._idle.put(memory)

    def _run_one(
        self, network: Any, picture: npt.NDArray[np.uint8], outputs: int, blobs: Any, workspace: Any
    ) -> list[npt.NDArray[np.float32]]:
        # In a variable: ncnn borrows the memory without keeping the array alive.
        values = np.ascontiguousarray(picture, np.float32)
        extractor = network.create_extractor()
        extractor.set_blob_allocator(blobs)
        extractor.set_workspace_allocator(workspace)
        extractor.input(INPUT, self._ncnn.Mat(values))
        found = []
        # The features first: what comes before an output is forgotten once that is extracted.
        for name in reversed(OUTPUTS[:outputs]):
            failed, values = extractor.extract(name)
            if failed:
                raise RuntimeError(f"ncnn could not run the network: error {failed}")
            found.append(np.array(values, np.float32))  # a copy: the pool's memory goes to the next run
        return found[::-1]


def _load(ncnn: Any, weights: Path, graph: Path, threads: int) -> Any:
    network = ncnn.Net()
    network.opt.num_threads = threads
    # FP32 is FP32: where processors have 16-bit arithmetic, ncnn would otherwise use it.
    for name in ("fp16_storage", "fp16_packed", "fp16_arithmetic", "bf16_storage", "bf16_packed"):
        setattr(network.opt, f"use_{name}", False)
    # Tiles of 6 x 6 outputs lose more digits than those of 4 x 4, hold twice the weights, and are not faster here.
    network.opt.use_winograd63_convolution = False
    if network.load_param(str(graph)) or network.load_model(str(weights)):
        raise ValueError("ncnn cannot read it")
    return network
