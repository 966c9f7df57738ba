"""ncnn: the fastest engine for FP32, by Winograd's convolutions (Lavin and Gray, arXiv:1509.09308)."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.model.engines.base import Logits

INPUT, OUTPUT = "in0", "out0"  # as pnnx, its converter, names them


class NcnnEngine:
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
        self._idle: queue.LifoQueue[tuple[Any, Any]] = queue.LifoQueue()
        # Each thread that calls the wide form gets helpers of its own for good (OpenMP's), as many as there are
        # processors: on 64 of them 128 callers would start 8,000 threads. So one thread calls it, for all.
        self._wide_caller = ThreadPoolExecutor(1, "ncnn-wide")

    def logits(self, pixels: npt.NDArray[np.uint8], *, exclusive: bool = True) -> Logits:
        """See Engine.logits; the pictures of a batch run one after the other."""
        if exclusive and self.threads > 1:
            return self._wide_caller.submit(self._logits, self._wide, pixels).result()
        return self._logits(self._narrow, pixels)

    def _logits(self, network: Any, pixels: npt.NDArray[np.uint8]) -> Logits:
        try:
            memory = self._idle.get_nowait()
        except queue.Empty:
            # As many as there are callers at once, then reused: through malloc a run takes a twentieth longer. What
            # lies between layers is asked for by the caller alone, a layer's workspace also by the threads it starts.
            memory = self._ncnn.UnlockedPoolAllocator(), self._ncnn.PoolAllocator()
        try:
            return np.stack([self._run(network, picture, *memory) for picture in pixels])
        finally:
            self._idle.put(memory)

    def _run(self, network: Any, picture: npt.NDArray[np.uint8], blobs: Any, workspace: Any) -> Logits:
        # In a variable: ncnn borrows the memory without keeping the array alive.
        values = np.ascontiguousarray(picture, np.float32)
        extractor = network.create_extractor()
        extractor.set_blob_allocator(blobs)
        extractor.set_workspace_allocator(workspace)
        extractor.input(INPUT, self._ncnn.Mat(values))
        failed, logits = extractor.extract(OUTPUT)
        if failed:
            raise RuntimeError(f"ncnn could not run the network: error {failed}")
        return np.array(logits, np.float32)  # a copy: the pool's memory goes to the next run


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
