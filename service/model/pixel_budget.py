"""A semaphore with weights: how many pixels all pictures that are being decoded may hold together."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class PixelBudget:
    """Hands out pixels in the order of arrival, so that small pictures never keep a large one waiting for good."""

    def __init__(self, pixels: int) -> None:
        self._size = self._free = pixels
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextlib.contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Hold `pixels` for the duration of the block; whoever needs more than there are holds all."""
        wanted, turn = min(pixels, self._size), object()
        with self._changed:
            self._waiting.append(turn)
            self._changed.wait_for(lambda: self._waiting[0] is turn and self._free >= wanted)
            self._waiting.popleft()
            self._free -= wanted
            self._changed.notify_all()  # the next one may fit too
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()
