"""Clients that cost little: bare sockets in threads, closed loop (each sends when it has its answer) and open loop.

On the machine that is measured, a client's processor time is the server's loss; these take about 0.1 ms a request.
"""

from __future__ import annotations

import base64
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Call = Callable[[], int]  # does one request, returns its status

_TIMEOUT_SEC = 30


@dataclass
class Outcome:
    """What came of many requests: seconds each took, by status; a status of 0 is a connection that broke."""

    seconds: float
    latencies: dict[int, list[float]] = field(default_factory=dict)

    def rate(self, status: int = 200) -> float:
        """Return the answers with `status` a second."""
        return len(self.latencies.get(status, ())) / self.seconds

    def quantile(self, q: float, status: int = 200) -> float:
        """Return the `q` quantile of the seconds of answers with `status`; NaN where there are none."""
        values = sorted(self.latencies.get(status, ()))
        return values[min(len(values) - 1, int(q * len(values)))] if values else float("nan")

    @property
    def count(self) -> int:
        """Return the number of requests."""
        return sum(map(len, self.latencies.values()))


class Connection:
    """One kept connection that sends one picture again and again, as it is or, `as_json`, in base64."""

    def __init__(self, port: int, picture: bytes, as_json: bool = False) -> None:
        kind = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
        if as_json:
            kind, picture = "application/json", b'{"image": "' + base64.b64encode(picture) + b'"}'
        lines = ["POST /predict HTTP/1.1", "Host: bench", f"Content-Type: {kind}", f"Content-Length: {len(picture)}"]
        self._request = "\r\n".join([*lines, "", ""]).encode() + picture
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


def closed_loop(callers: Sequence[Call], seconds: float) -> Outcome:
    """Let every caller send again as soon as it has its answer, for `seconds`."""
    outcome = Outcome(seconds)
    end = time.perf_counter() + seconds
    lock = threading.Lock()

    def repeat(call: Call) -> None:
        own: dict[int, list[float]] = {}
        while (began := time.perf_counter()) < end:
            own.setdefault(call(), []).append(time.perf_counter() - began)
        with lock:
            for status, values in own.items():
                outcome.latencies.setdefault(status, []).extend(values)

    began = time.perf_counter()
    _run([threading.Thread(target=repeat, args=(call,)) for call in callers])
    outcome.seconds = time.perf_counter() - began
    return outcome


def open_loop(callers: Sequence[Call], per_sec: float, seconds: float) -> Outcome:
    """Send at a constant rate whatever the server does, for `seconds`.

    Latency counts from the moment a request was due, not from when a caller was free to send it: a server that stalls
    must not slow down the clock that judges it.
    """
    outcome = Outcome(seconds)
    due: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    lock = threading.Lock()

    def send(call: Call) -> None:
        while (moment := due.get()) is not None:
            status = call()
            took = time.perf_counter() - moment
            with lock:
                outcome.latencies.setdefault(status, []).append(took)

    threads = [threading.Thread(target=send, args=(call,)) for call in callers]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    for number in range(int(per_sec * seconds)):
        moment = began + number / per_sec
        if (wait := moment - time.perf_counter()) > 0:
            time.sleep(wait)
        due.put(moment)
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    return outcome


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
