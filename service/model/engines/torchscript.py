"""TorchScript: what most tutorials serve."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.model.engines.base import Logits


class TorchEngine:
    """TorchScript, kept for comparison and for networks that ONNX cannot hold."""

    name = "torch"

    def __init__(self, files: Sequence[Path], precision: str, threads: int, input_size: int) -> None:  # noqa: ARG002  # any size
        import torch

        self.precision, self.threads = precision, threads
        self.version = str(torch.__version__)
        torch.set_num_threads(threads)
        self._torch = torch
        self._network = torch.jit.load(files[0], map_location="cpu").eval()
        # As with ncnn: each thread that calls it would get helpers of its own for good.
        self._caller = ThreadPoolExecutor(1, "torch")

    def logits(self, pixels: npt.NDArray[np.uint8], *, exclusive: bool = True) -> Logits:  # noqa: ARG002  # one form only
        """See Engine.logits; one call after the other."""
        return self._caller.submit(self._logits, pixels).result()

    def _logits(self, pixels: npt.NDArray[np.uint8]) -> Logits:
        with self._torch.inference_mode():
            result: Logits = self._network(self._torch.from_numpy(pixels)).numpy()
        return result
