"""What becomes of a connection whose request was answered before it had come whole, over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.model.bundle import Bundle
from tests.server import Server, running
from tests.service.serve.sockets import Sending, connect, gone, post, receive, request

MAX_BODY_BYTES = 1_000_000
LARGER = 50 * MAX_BODY_BYTES
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"
DRIPS: list[bytes | float] = [b"x", 0.05] * 40
HEALTH = request("GET /healthz")


@pytest.fixture(scope="module")
def server(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("lingering")
    with running(folder, MODEL_DIR=tiny_bundle.path, MAX_BODY_BYTES=MAX_BODY_BYTES, KEEPALIVE_SEC=60) as started:
        yield started


@pytest.fixture(scope="module")
def picture(tiny_bundle: Bundle) -> bytes:
    return (tiny_bundle.path / "samples" / "green.png").read_bytes()


def worker(server: Server) -> str:
    (found,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return found


EARLY = {
    "too large": (post(LARGER), 413),
    "no such address": (post(LARGER, path="/nothing"), 404),
    "the wrong method": (request("PUT /predict", f"Content-Length: {LARGER}"), 405),
    "another type": (post(MAX_BODY_BYTES, "Content-Type: text/plain"), 415),
    "a bad parameter": (post(MAX_BODY_BYTES, path="/predict?top_k=x"), 400),
    "a body that nobody asked for": (request("GET /healthz", f"Content-Length: {LARGER}"), 200),
}


@pytest.mark.parametrize("case", EARLY)
def test_an_answer_may_come_before_the_body_and_the_connection_stays(server: Server, case: str) -> None:
    """Of whatever size the body is: it is read away, and the next request is found behind it."""
    head, status = EARLY[case]
    length = int(head.split(b"Content-Length: ")[1].split()[0])
    with connect(server) as connection:
        connection.sendall(head)
        reply = receive(connection)
        assert (reply.status, reply.last) == (status, False)
        sending = Sending(connection, [*[bytes(length // 100)] * 100, HEALTH])
        assert receive(connection).status == 200
        sending.finish()
        assert sending.error is None


def test_bytes_of_the_next_request_are_not_read_away(server: Server) -> None:
    """Three requests in one packet, the bodies of two of which nobody wants."""
    with connect(server) as connection:
        connection.sendall(2 * (post(300, "Connection: keep-alive", path="/nothing") + bytes(300)) + HEALTH)
        received = b""
        while received.count(b"\r\n\r\n") < 3 or not received.endswith(b"}\n"):
            received += connection.recv(65536)
        assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"404", b"404", b"200"]


def test_a_chunked_picture_is_classified_and_the_connection_stays(server: Server, picture: bytes) -> None:
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(picture), picture)
    with connect(server) as connection:
        for _ in range(2):
            connection.sendall(request("POST /predict", "Transfer-Encoding: chunked") + body)
            reply = receive(connection)
            assert (reply.status, reply.last) == (200, False)


def test_where_no_next_request_can_be_found_the_answer_says_that_it_is_the_last(server: Server) -> None:
    """Chunks that nobody reads have no known end. Their client may go on sending, and still finds the answer."""
    with connect(server) as connection:
        connection.sendall(request("POST /nothing", "Transfer-Encoding: chunked"))
        sending = Sending(connection, [CHUNK] * 100)
        sending.finish()
        assert sending.error is None
        reply = receive(connection)
        assert (reply.status, reply.last) == (404, True)
        assert gone(connection)


def test_clients_that_never_close_stop_nobody(server: Server) -> None:
    """gunicorn gives each of them two seconds of its event loop, and its parent kills a worker after thirty."""
    before = worker(server)
    with contextlib.ExitStack() as stack:
        staying = [stack.enter_context(connect(server)) for _ in range(60)]
        for connection in staying:
            connection.sendall(request("GET /healthz", "Connection: close"))
        for connection in staying:
            assert receive(connection).last
            assert gone(connection)
        assert server.request("GET", "/readyz").status == 200
    assert worker(server) == before


def test_bodies_that_do_not_come_take_no_thread(server: Server) -> None:
    """More than there are threads, to an address that has no use for them: each is answered and goes on."""
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connect(server)) for _ in range(200)]
        for connection in waiting:
            connection.sendall(post(1000, path="/nothing") + bytes(500))
        assert [receive(connection).status for connection in waiting] == [404] * 200
        assert server.request("GET", "/readyz").status == 200
        for connection in waiting:
            connection.sendall(bytes(500) + HEALTH)
        assert [receive(connection).status for connection in waiting] == [200] * 200


def test_whoever_is_cut_off_is_told_and_not_reset(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """The answer says that the connection ends; bytes that still come do not break it before the answer is read."""
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, REQUEST_TIMEOUT_SEC=1) as server, connect(server) as slow:
        sending = Sending(slow, [post(5000), *DRIPS])
        reply = receive(slow)
        assert (reply.status, reply.last) == (408, True)
        assert b"body-timeout" in reply.body
        assert sending.error is None


def test_a_request_whose_own_time_is_over_keeps_its_connection(server: Server, picture: bytes) -> None:
    """408 there says nothing of the connection: the request had come whole."""
    with connect(server) as connection:
        for _ in range(2):
            Sending(connection, [post(len(picture), "X-Request-Timeout-Ms: 1"), 0.05, picture]).finish()
            reply = receive(connection)
            assert (reply.status, reply.last) == (408, False)
            assert b"deadline-exceeded" in reply.body
        connection.sendall(post(len(picture)) + picture)
        assert receive(connection).status == 200
