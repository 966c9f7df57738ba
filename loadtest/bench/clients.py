"""Clients that cost little: bare sockets in threads, closed loop (each sends when it has its answer) and open loop.

On the machine that is measured, a client's processor time is the server's loss; these take about 0.1 ms a request.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import numpy as np
import numpy.typing as npt

from loadtest.measure.percentiles import percentile

Call = Callable[[], int]  # does one request, returns its status

_TIMEOUT_SEC = 30
_RETRY_SEC = 1.0


@dataclass
class Samples:
    """What came of many requests: seconds each took, by status; a status of 0 is a connection that broke."""

    seconds: float
    latencies: dict[int, list[float]] = field(default_factory=dict)

    def rate(self, status: int = 200) -> float:
        """Return the answers with `status` a second."""
        return len(self.latencies.get(status, ())) / self.seconds

    def quantile(self, q: float, status: int = 200) -> float:
        """Return the nearest-rank `q` quantile of the seconds of answers with `status`; NaN where there are none."""
        return percentile(np.sort(np.array(self.latencies.get(status, ()), dtype=np.float64)), q)

    @property
    def count(self) -> int:
        """Return the number of requests."""
        return sum(map(len, self.latencies.values()))


PATH = "/predict"


def request_bytes(picture: bytes, as_json: bool = False, path: str = PATH) -> bytes:
    """Return a whole request with `picture` as its body, as it is or in base64."""
    content_type = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
    if as_json:
        content_type, picture = "application/json", b'{"image": "' + base64.b64encode(picture) + b'"}'
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Type: {content_type}", f"Content-Length: {len(picture)}"]
    return "\r\n".join([*lines, "", ""]).encode() + picture


class Connection:
    """One kept connection that sends one picture again and again, as it is or, `as_json`, in base64."""

    def __init__(self, port: int, picture: bytes, as_json: bool = False, path: str = PATH) -> None:
        self._request = request_bytes(picture, as_json, path)
        self._port = port
        self._socket: socket.socket | None = None

    def __call__(self) -> int:
        """Send the picture, read the whole answer, return its status; 0 where the connection broke."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_SEC)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(self._request)
            return self._receive(self._socket)
        except (OSError, ValueError):
            self.close()
            return 0

    def _receive(self, connection: socket.socket) -> int:
        received = b""
        while b"\r\n\r\n" not in received:
            if not (chunk := connection.recv(65536)):
                raise ConnectionError
            received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        fields = head.lower()
        if b"content-length:" not in fields:  # such as a proxy's own, while the server behind it starts
            self.close()
            return int(head.split(b" ", 2)[1])
        left = int(fields.split(b"content-length:")[1].split(b"\r\n")[0]) - len(body)
        while left > 0:
            if not (chunk := connection.recv(65536)):
                raise ConnectionError
            left -= len(chunk)
        if b"connection: close" in fields or head.startswith(b"HTTP/1.0"):
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Give the connection up; the next call makes a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep the garbage collector from stopping this process, 0.2 s at a time with PyTorch imported."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def closed_loop(callers: Sequence[Call], seconds: float) -> Samples:
    """Let every caller send again as soon as it has its answer, for `seconds`.

    One that is refused comes back after a second, which is the least that a Retry-After says.
    """
    samples = Samples(seconds)
    lock = threading.Lock()

    def repeat(call: Call) -> None:
        own: dict[int, list[float]] = {}
        while (began := time.perf_counter()) < end:
            status = call()
            own.setdefault(status, []).append(time.perf_counter() - began)
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                time.sleep(max(0.0, min(_RETRY_SEC, end - time.perf_counter())))
        with lock:
            for status, values in own.items():
                samples.latencies.setdefault(status, []).extend(values)

    with uninterrupted():
        # Now, not before: the collection that it begins with may take a good part of a second.
        start = time.perf_counter()
        end = start + seconds
        _run([threading.Thread(target=repeat, args=(call,)) for call in callers])
        samples.seconds = time.perf_counter() - start
    return samples


def open_loop(port: int, picture: bytes, per_sec: float, seconds: float) -> Samples:
    """Send `picture` at a given mean rate whatever the server does, for `seconds`; then wait for the last answers.

    Requests come at random moments, as they do from many clients who know nothing of one another (a Poisson process,
    the same one at every call). A request whose moment has come takes an idle connection or opens another, so that no
    request waits for the answer to an earlier one; its latency counts from the moment it was due. One thread serves all
    connections: at ten times a server's load, a thread for each would take the processors from what is measured.
    """
    with uninterrupted(), selectors.DefaultSelector() as selector:
        return _send_at(_moments(per_sec, seconds), lambda: _Exchange(port, picture, selector), selector)


def _moments(per_sec: float, seconds: float) -> npt.NDArray[np.float64]:
    """Return when requests are due, in seconds from the beginning."""
    random = np.random.default_rng(0)
    return np.cumsum(random.exponential(1 / per_sec, int(per_sec * seconds)))


def _send_at(
    moments: npt.NDArray[np.float64], connect: Callable[[], _Exchange], selector: selectors.BaseSelector
) -> Samples:
    samples = Samples(seconds=float(moments[-1]))
    due = deque(time.perf_counter() + moments)
    give_up = due[-1] + _TIMEOUT_SEC
    idle: list[_Exchange] = []
    busy = 0
    while (due or busy) and (now := time.perf_counter()) < give_up:
        while due and due[0] <= now:
            exchange = idle.pop() if idle else connect()
            exchange.start(due.popleft())
            busy += 1
        for key, _ in selector.select(max(0.0, due[0] - now) if due else 0.1):
            exchange = key.data
            if (status := exchange.advance()) is None:
                continue
            busy -= 1
            samples.latencies.setdefault(status, []).append(time.perf_counter() - exchange.due)
            if exchange.open:
                idle.append(exchange)
    unanswered = [key.data for key in selector.get_map().values()]
    for exchange in [*idle, *unanswered]:
        exchange.close()
    if unanswered:
        samples.latencies.setdefault(0, []).extend([_TIMEOUT_SEC] * len(unanswered))
    return samples


class _Exchange:
    """One non-blocking connection and the request on it."""

    def __init__(self, port: int, picture: bytes, selector: selectors.BaseSelector) -> None:
        self._request = request_bytes(picture)
        self._selector = selector
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect_ex(("127.0.0.1", port))
        self.open = True
        self.due = 0.0

    def start(self, due: float) -> None:
        """Begin to send; `due` is when this should have happened."""
        self.due = due
        self._unsent = memoryview(self._request)
        self._received = b""
        self._selector.register(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def advance(self) -> int | None:
        """Send and receive what is possible; returns the status once the answer is complete, 0 where it broke."""
        try:
            # A refusal comes before all is sent; what was begun is finished all the same, as every client does.
            if self._unsent:
                with contextlib.suppress(BlockingIOError):
                    self._unsent = self._unsent[self._socket.send(self._unsent) :]
                if not self._unsent:
                    self._selector.modify(self._socket, selectors.EVENT_READ, self)
            with contextlib.suppress(BlockingIOError):
                while (status := self._status()) is None:
                    if not (chunk := self._socket.recv(65536)):
                        raise ConnectionError
                    self._received += chunk
                return status
        except (OSError, ValueError):
            self._selector.unregister(self._socket)
            self.close()
            return 0
        return None

    def _status(self) -> int | None:
        head, separator, body = self._received.partition(b"\r\n\r\n")
        fields = head.lower()
        if self._unsent or not separator or len(body) < int(fields.split(b"content-length:")[1].split(b"\r\n")[0]):
            return None
        self._selector.unregister(self._socket)
        if b"connection: close" in fields or head.startswith(b"HTTP/1.0"):
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Give the connection up."""
        self.open = False
        self._socket.close()


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
