"""What every engine is: uint8 [N, H, W, 3] pixels become float32 [N, classes] logits and, asked for, the features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.errors import EngineError

Logits = npt.NDArray[np.float32]  # [N, classes]
Features = npt.NDArray[np.float32]  # [N, C, h, w]


class Engine(ABC):
    """A network ready to run.

    Attributes:
        gives_features: whether its network has the second output; set by whoever opens the network.
    """

    name: str
    precision: str
    threads: int
    version: str
    gives_features: bool

    @abstractmethod
    def __init__(self, files: Sequence[Path], precision: str, threads: int, input_size: int) -> None:
        """Load and compile the network in `files`, for pictures of `input_size` and `threads` processors."""

    def logits(self, pixels: npt.NDArray[np.uint8], *, exclusive: bool = True) -> Logits:
        """Run the network.

        Args:
            pixels: uint8 [N, H, W, 3], RGB.
            exclusive: whether nothing else wants the processors now. Then all of them work on this call, for the
                shortest latency; otherwise one does, for the highest throughput. An engine may ignore it.

        Returns:
            float32 [N, classes].
        """
        return self._run(pixels, exclusive, 1)[0]

    def with_features(self, pixels: npt.NDArray[np.uint8], *, exclusive: bool = True) -> tuple[Logits, Features]:
        """Run the network, as `logits` does, and return also what it computes its logits from.

        Their mean over the plane, through the linear layer that `service.model.head` reads, is the logits.

        Returns:
            Logits, float32 [N, classes]; features, float32 [N, C, h, w].

        Raises:
            EngineError: this network gives none.
        """
        if not self.gives_features:
            raise EngineError(
                "This network gives no features: it does not end in a mean over the plane and one linear layer, or "
                "its bundle is older than they are; then build it again: python -m service build"
            )
        logits, features = self._run(pixels, exclusive, 2)
        return logits, features

    @abstractmethod
    def _run(self, pixels: npt.NDArray[np.uint8], exclusive: bool, outputs: int) -> list[npt.NDArray[np.float32]]:
        """Return the first `outputs`, 1 or 2, of the network's: logits, features."""
