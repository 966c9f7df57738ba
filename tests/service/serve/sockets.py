"""HTTP by hand: what a well-behaved client library would never send, and what comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.server import Server

# Far above what any answer takes: a test that hangs fails.
LIMIT_SEC = 60
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What is sent one after the other; a number is a pause in seconds.
Parts = Sequence[bytes | float]


@dataclass(frozen=True)
class Reply:
    status: int
    head: bytes
    body: bytes

    @property
    def last(self) -> bool:
        """Return whether it says that its connection ends."""
        return b"\r\nconnection: close" in self.head.lower()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_SEC)


def receive(connection: socket.socket) -> Reply:
    """Read one whole answer; a connection that ends or breaks before is what balancers make a 502 of."""
    received = b""
    while b"\r\n\r\n" not in received or received == CONTINUE:
        received += _some(connection)
    head, _, body = received.removeprefix(CONTINUE).partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split()[0])
    while len(body) < length:
        body += _some(connection)
    assert len(body) == length, "two answers at once"
    return Reply(int(head.split()[1]), head, body)


def _some(connection: socket.socket) -> bytes:
    found = connection.recv(65536)
    assert found, "the connection ended before the answer"
    return found


class Sending:
    """Sends the parts of a request from a thread of its own, as a client does that reads meanwhile."""

    def __init__(self, connection: socket.socket, parts: Parts) -> None:
        self.error: OSError | None = None
        self._connection = connection
        self._parts = parts
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        try:
            for part in self._parts:
                if isinstance(part, float):
                    time.sleep(part)
                else:
                    self._connection.sendall(part)
        except OSError as error:
            self.error = error

    def finish(self) -> None:
        """Wait until everything is sent, or no more can be."""
        self._thread.join(LIMIT_SEC)
        assert not self._thread.is_alive(), "the server does not read what is sent"


def request(line: str, *fields: str) -> bytes:
    """Return a request's head, with a Host."""
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *fields, "", ""]).encode("latin-1")


def post(length: int, *fields: str, path: str = "/predict") -> bytes:
    return request(f"POST {path}", f"Content-Length: {length}", *fields)


def gone(connection: socket.socket) -> bool:
    """Wait until the server says that it sends nothing more; returns whether it had sent nothing further."""
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(65536) == b""
    return True
