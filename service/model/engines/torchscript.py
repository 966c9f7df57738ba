"""TorchScript: what most tutorials serve."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.model.engines.base import Engine


class TorchEngine(Engine):
    """TorchScript, kept for comparison and for networks that ONNX cannot hold."""

    name = "torch"

    def __init__(self, files: Sequence[Path], precision: str, threads: int, input_size: int) -> None:  # noqa: ARG002  # any size
        import torch

        self.precision, self.threads = precision, threads
        self.version = str(torch.__version__)
        torch.set_num_threads(threads)
        self._torch = torch
        self._network = torch.jit.load(files[0], map_location="cpu").eval()
        self.gives_features = isinstance(next(self._network.graph.outputs()).type(), torch.TupleType)
        # As with ncnn: each thread that calls it would get helpers of its own for good.
        self._caller = ThreadPoolExecutor(1, "torch")

    def _run(self, pixels: npt.NDArray[np.uint8], exclusive: bool, outputs: int) -> list[npt.NDArray[np.float32]]:  # noqa: ARG002  # one form only
        """See Engine; one call after the other."""
        return self._caller.submit(self._call, pixels, outputs).result()

    def _call(self, pixels: npt.NDArray[np.uint8], outputs: int) -> list[npt.NDArray[np.float32]]:
        with self._torch.inference_mode():
            result = self._network(self._torch.from_numpy(pixels))
        found = result if self.gives_features else (result,)
        # PyTorch keeps a plane's channels together where that is faster.
        return [np.ascontiguousarray(values.numpy()) for values in found[:outputs]]
