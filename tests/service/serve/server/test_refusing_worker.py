"""What the event loop does with requests that its application refuses, over real sockets of a real server."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.model.bundle import Bundle
from tests.server import Server, running

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def server(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two places and no queue."""
    folder = tmp_path_factory.mktemp("refusing")
    with running(folder, MODEL_DIR=tiny_bundle.path, THREADS=1, QUEUE_SIZE=0, REQUEST_TIMEOUT_SEC=20) as started:
        yield started


@pytest.fixture(scope="module")
def picture(tiny_bundle: Bundle) -> bytes:
    return (tiny_bundle.path / "samples" / "green.png").read_bytes()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read one whole answer; returns its status and body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split()[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


@contextlib.contextmanager
def full(server: Server, picture: bytes) -> Iterator[None]:
    """Both places are taken by requests whose bodies have not come whole; these are answered at the end."""
    with connect(server) as one, connect(server) as two:
        for connection in (one, two):
            connection.sendall(HEAD % len(picture) + picture[:10])
        while "classifier_in_flight 2.0" not in server.request("GET", "/metrics").body.decode():
            time.sleep(0.01)
        yield
        for connection in (one, two):
            connection.sendall(picture[10:])
            assert answer(connection)[0] == 200
    # The answer is sent before the place is given back.
    while "classifier_in_flight 0.0" not in server.request("GET", "/metrics").body.decode():
        time.sleep(0.01)


def test_a_refusal_comes_before_the_body_and_the_connection_stays(server: Server, picture: bytes) -> None:
    """Refused with nothing but its head sent; then the body in pieces, and the next request on the same connection."""
    with connect(server) as connection:
        with full(server, picture):
            for _ in range(3):
                connection.sendall(HEAD % 200_000)
                assert answer(connection)[0] == 429
                for _ in range(4):
                    connection.sendall(bytes(50_000))
                    time.sleep(0.02)
        connection.sendall(HEAD % len(picture) + picture)
        status, body = answer(connection)
        assert (status, b'"label":"green"' in body) == (200, True)


def test_bytes_of_the_next_request_are_not_read_away(server: Server, picture: bytes) -> None:
    """Two requests in one packet: each is refused once, and the connection goes on behind them."""
    with connect(server) as connection:
        with full(server, picture):
            connection.sendall(2 * (HEAD % 300 + bytes(300)))
            time.sleep(0.1)
            received = connection.recv(65536)
            assert received.count(b"HTTP/1.1 429 ") == 2
            assert received.count(b"/docs#overloaded") == 2
        connection.sendall(HEAD % len(picture) + picture)
        assert answer(connection)[0] == 200


def test_a_kept_connection_is_refused_too(server: Server, picture: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD % len(picture) + picture)
        assert answer(connection)[0] == 200
        with full(server, picture):
            connection.sendall(HEAD % len(picture) + picture)
            assert answer(connection)[0] == 429
        connection.sendall(HEAD % len(picture) + picture)
        assert answer(connection)[0] == 200


def test_who_leaves_in_the_middle_does_no_harm(server: Server, picture: bytes) -> None:
    with full(server, picture):
        for sent in (HEAD % 1000, HEAD % 1000 + b"abc"):
            for _ in range(50):
                with connect(server) as connection:
                    connection.sendall(sent)
        assert server.request("POST", "/predict", picture).status == 429
    assert server.request("POST", "/predict", picture).status == 200
    assert not [line for line in server.lines() if line["severity"] in ("ERROR", "CRITICAL")]


def test_refusals_take_no_thread(server: Server, picture: bytes) -> None:
    """Two hundred clients are refused at once, and each is slow to send what was refused."""

    def threads() -> int:
        (worker,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        return len(list(Path(f"/proc/{worker}/task").iterdir()))

    with full(server, picture), contextlib.ExitStack() as stack:
        before = threads()
        waiting = [stack.enter_context(connect(server)) for _ in range(200)]
        for connection in waiting:
            connection.sendall(HEAD % 1000 + bytes(500))
        assert [answer(connection)[0] for connection in waiting] == [429] * 200
        assert server.request("GET", "/readyz").status == 200
        assert threads() <= before + 1  # the probe's


def test_connections_that_say_nothing_take_no_thread_and_are_closed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, REQUEST_TIMEOUT_SEC=1, KEEPALIVE_SEC=1) as server:
        silent = [connect(server) for _ in range(100)]
        assert server.request("GET", "/readyz").status == 200
        for connection in silent:
            assert connection.recv(1) == b""
            connection.close()
