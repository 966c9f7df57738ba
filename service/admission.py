"""Who may enter, and for how long: bounded work, a bounded queue, a deadline for each request.

Knows nothing of pictures and nothing of HTTP. A request takes a place when it arrives (or is refused at once, before
its body is read), reads its body without holding a slot, then waits for a slot and does its work inside it. Refusing
early is what keeps the accepted requests' latency where it was.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from service.errors import DeadlineExceeded, Overloaded

Clock = Callable[[], float]

# Weight of the newest service time in the moving average: about the last twenty requests count.
_SMOOTHING = 0.1
_FIRST_GUESS_SEC = 0.05


class Deadline:
    """The moment at which a request is given up, on a monotonic clock."""

    def __init__(self, timeout_sec: float, clock: Clock = time.monotonic) -> None:
        self.timeout_sec = timeout_sec
        self._clock = clock
        self._end = clock() + timeout_sec

    def remaining_sec(self) -> float:
        """Return the seconds left, never below 0."""
        return max(0.0, self._end - self._clock())

    def exceeded(self, before: str) -> DeadlineExceeded:
        """Return the error to raise when the time is over; `before` names the work that is not done."""
        return DeadlineExceeded(
            f"The {self.timeout_sec:g} s that a request may take were over before {before}. Try again later, or send "
            "fewer or smaller pictures."
        )

    def check(self, before: str) -> None:
        """Raise DeadlineExceeded where no time is left."""
        if not self.remaining_sec():
            raise self.exceeded(before)


class Admission:
    """The door: at most `slots` requests at work and `queue_size` further ones inside, with `max_bytes` in all.

    Slots are handed on in the order of arrival at the queue.
    """

    def __init__(
        self, slots: int, queue_size: int, max_bytes: int = 100_000_000, clock: Clock = time.monotonic
    ) -> None:
        self.slots = slots
        self.capacity = slots + queue_size
        self.max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._inside = 0
        self._bytes = 0
        self._busy = 0
        self._waiting: deque[threading.Event] = deque()
        self._service_sec = _FIRST_GUESS_SEC

    @property
    def in_flight(self) -> int:
        """Return the number of requests inside: reading, waiting or at work."""
        return self._inside

    @property
    def queued(self) -> int:
        """Return the number of requests that wait for a slot."""
        return len(self._waiting)

    def retry_after_sec(self) -> int:
        """Return how long the present queue will take to empty, in whole seconds, at least 1."""
        return max(1, math.ceil(self._inside * self._service_sec / self.slots))

    def refusal(self, size_bytes: int) -> Overloaded | None:
        """Return why a request would not be let in just now, None where it would."""
        if self._inside < self.capacity and (not self._inside or self._bytes + size_bytes <= self.max_bytes):
            return None
        wait = self.retry_after_sec()
        return Overloaded(
            f"{self._inside} requests with {self._bytes} bytes are being served or are waiting, which is all this "
            f"server takes. Try again in {wait} s.",
            wait,
        )

    @contextlib.contextmanager
    def enter(self, size_bytes: int = 0) -> Iterator[None]:
        """Hold a place, and `size_bytes` of memory for the request's body, for the duration of the block.

        Whoever comes alone is let in with any size.

        Raises:
            Overloaded: all places or all the memory is taken; nothing of the request was read.
        """
        with self._lock:
            if (overloaded := self.refusal(size_bytes)) is not None:
                raise overloaded
            self._inside += 1
            self._bytes += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                self._bytes -= size_bytes

    @contextlib.contextmanager
    def slot(self, deadline: Deadline) -> Iterator[None]:
        """Hold a slot for the duration of the block; wait for one until the deadline.

        Raises:
            DeadlineExceeded: no slot became free in time; no work was done.
        """
        self._acquire(deadline)
        began = self._clock()
        try:
            yield
        finally:
            took = self._clock() - began
            with self._lock:
                self._service_sec += _SMOOTHING * (took - self._service_sec)
                self._hand_on()

    def _acquire(self, deadline: Deadline) -> None:
        with self._lock:
            if self._busy < self.slots:
                self._busy += 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(deadline.remaining_sec()):
            return
        with self._lock:
            if turn.is_set():  # the slot arrived between the wait's end and this line: pass it to the next
                self._hand_on()
            else:
                self._waiting.remove(turn)
        raise deadline.exceeded("its turn came")

    def _hand_on(self) -> None:
        """Give the slot to whoever has waited longest, or free it. Call with the lock held."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._busy -= 1
