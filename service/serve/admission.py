"""Admission control, or load shedding: bounded work, a bounded queue, a deadline for each request.

Knows nothing of pictures and nothing of HTTP. A request is let in when it arrives (or is refused at once, before its
body is read), reads its body without holding a slot, then waits for a slot and does its work while it holds it.
Refusing early is what keeps the accepted requests' latency where it was.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from service.errors import DeadlineExceeded, OutOfTime, Overloaded

Clock = Callable[[], float]

# How far back the pressure looks; and how often the processors may find nothing to do because the queue was kept short.
_PRESSURE_SEC = 1.0
_IDLE_SHARE = 0.01

# Weight of the newest service time in the moving average: about the last twenty requests count.
_SMOOTHING = 0.1
_FIRST_GUESS_SEC = 0.05


class Deadline:
    """The moment at which a request is given up, on a monotonic clock.

    `header` names the request's header that set it; None where it is the service's own limit.
    """

    def __init__(self, timeout_sec: float, clock: Clock = time.monotonic, header: str | None = None) -> None:
        self.timeout_sec = timeout_sec
        self.header = header
        self._clock = clock
        self._end = clock() + timeout_sec

    def remaining_sec(self) -> float:
        """Return the seconds left, never below 0."""
        return max(0.0, self._end - self._clock())


class _Pressure:
    """How many requests arrive for each that is let in, over about the last second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = clock()
        self._arrived = self._entered = 0.0

    def note(self, arrived: int, entered: int) -> None:
        """Count arrivals and entries; one that is sent away after it was let in is an entry less."""
        decay = self._decay()
        self._seen = self._clock()
        self._arrived = decay * self._arrived + arrived
        self._entered = max(0.0, decay * self._entered + entered)

    def ratio(self) -> float:
        """Return arrivals for each entry, at least 1."""
        decay = self._decay()
        # One more of each: a single refusal after an hour of silence is no pressure.
        return (decay * self._arrived + 1) / (decay * self._entered + 1)

    def _decay(self) -> float:
        return math.exp((self._seen - self._clock()) / _PRESSURE_SEC)


class Admission:
    """Lets in at most `slots` requests to work and `queue_size` further ones to wait, with `max_bytes` in all.

    Slots are handed on in the order of arrival at the queue. `spare` of them are more than there are processors.

    A queue is there for the moments in which more arrive than usual. While somebody else always arrives it
    serves nobody and costs everybody its length in time, so under pressure it is kept as short as the processors allow.
    With r arrivals for each entry, a queue of k places is found empty about once in r^k times (the M/M/1 queue of
    finite size), so log(1 / idle share) / log(r) places will do, the spare slots among them: 2 at r = 10, 26 at 1.2.
    """

    def __init__(
        self,
        slots: int,
        queue_size: int,
        max_bytes: int,
        spare: int = 0,
        clock: Clock = time.monotonic,
    ) -> None:
        self.slots = slots
        self.spare = spare
        self.capacity = slots + queue_size
        self.max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._in_flight = 0
        self._bytes = 0
        self._busy = 0
        self._waiting: deque[threading.Event] = deque()
        self._service_sec = _FIRST_GUESS_SEC
        self._pressure = _Pressure(clock)

    @property
    def in_flight(self) -> int:
        """Return the number of requests that are let in: reading, waiting or at work."""
        return self._in_flight

    @property
    def queued(self) -> int:
        """Return the number of requests that wait for a slot."""
        return len(self._waiting)

    @property
    def queue_limit(self) -> int:
        """Return how many may wait for a slot just now: `queue_size`, or fewer under pressure."""
        most = self.capacity - self.slots
        ratio = self._pressure.ratio()
        if ratio <= 1:
            return most
        enough = math.log(1 / _IDLE_SHARE) / math.log(ratio)
        return max(0, math.ceil(min(most, enough - self.spare)))

    @property
    def full(self) -> bool:
        """Return whether a request would be refused just now, whatever its size."""
        return self._in_flight >= self.capacity or self._queue_full()

    def _queue_full(self) -> bool:
        return self._busy >= self.slots and len(self._waiting) >= self.queue_limit

    def retry_after_sec(self) -> int:
        """Return how long the present queue will take to empty, in whole seconds, at least 1."""
        return max(1, math.ceil(self._in_flight * self._service_sec / self.slots))

    def refusal(self, size_bytes: int) -> Overloaded | None:
        """Return why a request is refused, and count it as refused; None where it may try to enter."""
        with self._lock:
            return self._refusal(size_bytes)

    def _refusal(self, size_bytes: int) -> Overloaded | None:
        if not self.full and (not self._in_flight or self._bytes + size_bytes <= self.max_bytes):
            return None
        self._pressure.note(arrived=1, entered=0)
        return self._overloaded()

    def _overloaded(self) -> Overloaded:
        wait = self.retry_after_sec()
        return Overloaded(
            f"{self._in_flight} requests with {self._bytes} bytes are being served or are waiting, which is all this "
            f"server takes. Try again in {wait} s.",
            wait,
        )

    def check(self, deadline: Deadline, before: str) -> None:
        """Raise an error where no time is left; `before` names the work that is then not done.

        Raises:
            DeadlineExceeded: the request's own limit is over.
            OutOfTime: the service's is.
        """
        if not deadline.remaining_sec():
            raise self._given_up(deadline, before)

    def _given_up(self, deadline: Deadline, before: str) -> DeadlineExceeded | OutOfTime:
        if deadline.header is not None:
            return DeadlineExceeded(
                f"The {1000 * deadline.timeout_sec:g} ms of the request's own {deadline.header} were over before "
                f"{before}. Allow more, leave that header out, or send fewer or smaller pictures."
            )
        wait = self.retry_after_sec()
        return OutOfTime(
            f"The {deadline.timeout_sec:g} s that a request may take were over before {before}. Try again in {wait} s, "
            "or send fewer or smaller pictures.",
            wait,
        )

    @contextlib.contextmanager
    def enter(self, size_bytes: int = 0) -> Iterator[None]:
        """Be let in, with `size_bytes` of memory for the request's body, for the duration of the block.

        Whoever comes alone is let in with any size.

        Raises:
            Overloaded: as many as may are let in, or all the memory is taken; nothing of the request was read.
        """
        with self._lock:
            if (overloaded := self._refusal(size_bytes)) is not None:
                raise overloaded
            self._pressure.note(arrived=1, entered=1)
            self._in_flight += 1
            self._bytes += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1
                self._bytes -= size_bytes

    @contextlib.contextmanager
    def slot(self, deadline: Deadline, begun: bool = False) -> Iterator[None]:
        """Hold a slot for the duration of the block; wait for one until the deadline.

        Args:
            deadline: when the request is given up.
            begun: part of the request's work is done already, so that it waits however many do.

        Raises:
            Overloaded: the queue filled up while the request was read; no work was done.
            DeadlineExceeded, OutOfTime: no slot became free in time; no work was done.
        """
        self._acquire(deadline, begun)
        began = self._clock()
        try:
            yield
        finally:
            took = self._clock() - began
            with self._lock:
                self._service_sec += _SMOOTHING * (took - self._service_sec)
                self._hand_on()

    def _acquire(self, deadline: Deadline, begun: bool) -> None:
        with self._lock:
            if self._busy < self.slots:
                self._busy += 1
                return
            if self._queue_full() and not begun:
                self._pressure.note(arrived=0, entered=-1)
                raise self._overloaded()
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(deadline.remaining_sec()):
            return
        with self._lock:
            if turn.is_set():  # the slot arrived between the wait's end and this line: pass it to the next
                self._hand_on()
            else:
                self._waiting.remove(turn)
        raise self._given_up(deadline, "its turn came")

    def _hand_on(self) -> None:
        """Give the slot to whoever has waited longest, or free it. Call with the lock held."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._busy -= 1
