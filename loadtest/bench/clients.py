"""Clients that cost little: bare sockets in threads, each of which sends again when it has its answer.

On the machine that is measured, a client's processor time is the server's loss; these take about 0.1 ms a request.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import numpy as np

from loadtest.measure.percentiles import percentile

Call = Callable[[], int]  # does one request, returns its status

TIMEOUT_SEC = 30
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
        """Return how many requests were sent, whatever came of them."""
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
                self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_SEC)
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


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
