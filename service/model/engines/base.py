"""What every engine is: uint8 [N, H, W, 3] pixels become float32 [N, classes] logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]  # [N, classes]


class Engine(Protocol):
    """A network ready to run."""

    name: str
    precision: str
    threads: int
    version: str

    def __init__(self, files: Sequence[Path], precision: str, threads: int, input_size: int) -> None:
        """Load and compile the network in `files`, for pictures of `input_size` and `threads` processors."""
        ...

    def logits(self, pixels: npt.NDArray[np.uint8], *, exclusive: bool = True) -> Logits:
        """Run the network.

        Args:
            pixels: uint8 [N, H, W, 3], RGB.
            exclusive: whether nothing else wants the processors now. Then all of them work on this call, for the
                shortest latency; otherwise one does, for the highest throughput. An engine may ignore it.

        Returns:
            float32 [N, classes].
        """
        ...
