"""Clients that cost little, for servers on this machine: a closed loop and an open loop over bare sockets.

Where client and server share two processors, a client's time is the server's loss: these take 0.02 to 0.13 ms of a
processor for a request of 95 KB (AMD EPYC, 2026-11), Locust several times that. What they measure is what Locust's
users measure (users.py): an outcome is one of answers.py, a percentile one of percentiles.py, and in an open loop
latency counts from the moment at which a request was due.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import re
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from loadtest.measure.answers import PATH, Outcome
from loadtest.measure.percentiles import percentile

Call = Callable[[], int]  # does one request, returns its status, 0 where the connection broke

TIMEOUT_SEC = 30
_RETRY_SEC = 1.0  # the least that a Retry-After says
_OUTCOMES = {200: Outcome.GOOD, 429: Outcome.REFUSED}
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")


@dataclass
class Samples:
    """What came of many requests."""

    seconds: float
    sent: list[tuple[int, float]] = field(default_factory=list)  # status, seconds; a status of 0: the connection broke

    def of(self, outcome: Outcome) -> list[float]:
        """Return the seconds of requests with an outcome, as load tests have it: 200, 429, and everything else."""
        return [sec for status, sec in self.sent if _OUTCOMES.get(status, Outcome.FAILED) is outcome]

    def statuses(self) -> Counter[int]:
        """Return how many requests had each status."""
        return Counter(status for status, _ in self.sent)

    def rate(self) -> float:
        """Return the good answers a second."""
        return len(self.of(Outcome.GOOD)) / self.seconds

    def quantile_ms(self, q: float, outcome: Outcome = Outcome.GOOD) -> float:
        """Return the nearest-rank `q` quantile of the milliseconds of an outcome; NaN where there are none."""
        return 1000 * percentile(np.sort(np.array(self.of(outcome), dtype=np.float64)), q)


def request_bytes(picture: bytes, as_json: bool = False, path: str = PATH) -> bytes:
    """Return a whole request with `picture` as its body, as it is or in base64."""
    content_type = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
    if as_json:
        content_type, picture = "application/json", b'{"image": "' + base64.b64encode(picture) + b'"}'
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Type: {content_type}", f"Content-Length: {len(picture)}"]
    return "\r\n".join([*lines, "", ""]).encode() + picture


def _answer(received: bytes) -> tuple[int, bool] | None:
    """Return the status of an answer and whether its connection is kept; None while a part of it is missing."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    status, fields = int(head.split(b" ", 2)[1]), head.lower()
    if (length := _LENGTH.search(fields)) is None:
        return status, False  # such as a proxy's own, while the server behind it starts
    if len(body) < int(length[1]):
        return None
    return status, b"connection: close" not in fields and not head.startswith(b"HTTP/1.0")


class Connection:
    """One kept connection that sends one request again and again: waiting for each answer, or watched by a selector."""

    def __init__(self, port: int, request: bytes, wait: bool = True) -> None:
        self._address, self._request, self._wait = ("127.0.0.1", port), request, wait
        self.socket: socket.socket | None = None  # None where it is not kept, or broke
        self.due = 0.0

    def __call__(self) -> int:
        """Send the request, read the whole answer, return its status; 0 where the connection broke."""
        status = None
        try:
            self.begin()
            while status is None:
                status = self.advance()
        except OSError:
            self.close()
        return status or 0

    def begin(self) -> socket.socket:
        """Connect where there is no connection, and let a request begin."""
        if self.socket is None:
            self.socket = socket.socket()
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.settimeout(TIMEOUT_SEC if self._wait else 0)
            (self.socket.connect if self._wait else self.socket.connect_ex)(self._address)
        self._received, self._unsent = b"", memoryview(self._request)
        return self.socket

    @property
    def sending(self) -> bool:
        """Return whether a part of the request is still to be sent."""
        return len(self._unsent) > 0

    def advance(self) -> int | None:
        """Send and receive what is possible now; returns the status once the answer is complete, 0 where it broke."""
        assert self.socket is not None  # noqa: S101  # begin() came first
        try:
            # A refusal comes before all is sent; what was begun is finished all the same, as every client does.
            if self.sending:
                with contextlib.suppress(BlockingIOError):
                    self._unsent = self._unsent[self.socket.send(self._unsent) :]
            if self.sending and self._wait:
                return None
            with contextlib.suppress(BlockingIOError):
                while self.sending or (answer := _answer(self._received)) is None:
                    if not (chunk := self.socket.recv(65536)):
                        raise ConnectionError
                    self._received += chunk
                status, kept = answer
                if not kept:
                    self.close()
                return status
        except (OSError, ValueError, IndexError):
            self.close()
            return 0
        return None

    def close(self) -> None:
        """Give the connection up; the next request makes a new one."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keep the garbage collector from stopping this process, 0.2 s at a time with PyTorch imported."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def closed_loop(callers: Sequence[Call], seconds: float) -> Samples:
    """Let every caller send again as soon as it has its answer, for `seconds`; each sends at least once.

    Latency counts from sending. One that is refused comes back after a second, which is the least that a Retry-After
    says.
    """
    samples = Samples(seconds)

    def repeat(call: Call) -> None:
        began = time.perf_counter()
        while True:
            status = call()
            samples.sent.append((status, time.perf_counter() - began))  # appending is atomic
            if status == 429:
                time.sleep(max(0.0, min(_RETRY_SEC, end - time.perf_counter())))
            if (began := time.perf_counter()) >= end:
                break

    with _uninterrupted():
        # Now, not before: the collection that it begins with may take a good part of a second.
        start = time.perf_counter()
        end = start + seconds
        threads = [threading.Thread(target=repeat, args=(call,)) for call in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        samples.seconds = time.perf_counter() - start
    return samples


def open_loop(port: int, request: bytes, moments: Iterable[float], seconds: float) -> Samples:
    """Send a request at each of the `moments`, in seconds from now and up to `seconds`, whatever the server does.

    One whose moment has come takes an idle connection or opens another, so that no request waits for the answer to an
    earlier one. Latency counts from the moment it was due: what a stall of the server, or of this process, kept from
    being sent has waited too ("coordinated omission"). One thread serves all connections: at ten times a server's load
    a thread for each would take the processors from what is measured. Who has no answer 30 s after the last moment
    counts as broken.
    """
    samples = Samples(seconds)
    idle: list[Connection] = []
    with _uninterrupted(), selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        due = deque(began + moment for moment in moments)
        give_up = began + seconds + TIMEOUT_SEC
        while (due or selector.get_map()) and (now := time.perf_counter()) < give_up:
            while due and due[0] <= now:
                connection = idle.pop() if idle else Connection(port, request, wait=False)
                connection.due = due.popleft()
                selector.register(connection.begin(), selectors.EVENT_READ | selectors.EVENT_WRITE, connection)
            for key, events in selector.select(max(0.0, due[0] - now) if due else 0.1):
                connection = key.data
                if (status := connection.advance()) is not None:
                    selector.unregister(key.fileobj)
                    samples.sent.append((status, time.perf_counter() - connection.due))
                    if connection.socket:
                        idle.append(connection)
                elif events & selectors.EVENT_WRITE and not connection.sending:
                    selector.modify(key.fileobj, selectors.EVENT_READ, connection)
        unanswered = [key.data for key in selector.get_map().values()]
        samples.sent += [(0, time.perf_counter() - connection.due) for connection in unanswered]
        for connection in [*idle, *unanswered]:
            connection.close()
    return samples
