"""Requests at a given rate, whatever the server does: one thread, as many connections as are needed."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from loadtest.bench.clients import TIMEOUT_SEC, Samples, request_bytes, uninterrupted


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
    give_up = due[-1] + TIMEOUT_SEC
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
        samples.latencies.setdefault(0, []).extend([TIMEOUT_SEC] * len(unanswered))
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
