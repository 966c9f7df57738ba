"""No 502, 503 or 504 for what a client did, and no connection that breaks before an answer that is owed.

A balancer takes either for a broken machine: it asks another one, and after a few in a row it leaves this one out for a
while. One client must be able to bring about neither.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from service.model.bundle import Bundle
from tests.conftest import encode, multipart
from tests.server import Answer, Server, running
from tests.service.serve.sockets import Parts, Sending, connect, post, receive, request

pytestmark = pytest.mark.slow

HUGE = encode(Image.new("RGB", (5000, 5000), (1, 2, 3)), "PNG")  # some 70 KB, of as many pixels as are accepted
PICTURE = encode(Image.new("RGB", (64, 48), (255, 0, 0)), "PNG")
TOO_MANY_PIXELS = encode(Image.new("1", (9000, 9000)), "PNG")


@pytest.fixture(scope="module")
def server(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is soon full, soon out of patience, and takes little."""
    with running(
        tmp_path_factory.mktemp("blame"),
        MODEL_DIR=tiny_bundle.path,
        THREADS=1,
        QUEUE_SIZE=1,
        REQUEST_TIMEOUT_SEC=1,
        MAX_BODY_BYTES=2_000_000,
    ) as started:
        yield started


def form(*pictures: bytes) -> list[bytes]:
    body, content_type = multipart(*(("file", f"{number}.png", data) for number, data in enumerate(pictures)))
    return [post(len(body), f"Content-Type: {content_type}"), body]


def picture(data: bytes, *fields: str, path: str = "/predict") -> list[bytes]:
    return [post(len(data), *fields, path=path), data]


DRIPS: list[bytes | float] = [b"x", 0.05] * 60
CHUNKED = request("POST /predict", "Transfer-Encoding: chunked")
LARGER = [bytes(1_000_000)] * 30  # than is accepted, and than what any buffer on the way holds

# What a client sends (numbers are pauses in s), and the status of the answer.
CASES: dict[str, tuple[Parts, int]] = {
    "a bad parameter": (picture(PICTURE, path="/predict?top_k=many"), 400),
    "a bad time limit": (picture(PICTURE, "X-Request-Timeout-Ms: soon"), 400),
    "an address that does not exist": (picture(PICTURE, path="/classify"), 404),
    "a path that leads out": ([request("GET /samples/../../etc/passwd")], 404),
    "a method that is not allowed": ([request("DELETE /predict")], 405),
    "a method that does not exist": ([request("BREW /predict")], 405),
    "a tunnel": ([request("CONNECT x:443")], 404),
    "another protocol": ([request("GET /nothing", "Connection: Upgrade", "Upgrade: websocket")], 404),
    "a time limit that is over at once": ([post(len(PICTURE), "X-Request-Timeout-Ms: 1"), 0.05, PICTURE], 408),
    "more work than a request's time": (form(*[HUGE] * 16), 429),
    "more pictures than are accepted": (form(*[PICTURE] * 17), 400),
    "no picture": (picture(b""), 400),
    "text": (picture(b"hello " * 1000), 415),
    "a web page that says it is a form": (picture(b"<html>", "Content-Type: multipart/form-data; boundary=x"), 400),
    "half a picture": (picture(HUGE[:5000]), 422),
    "more pixels than are accepted": (picture(TOO_MANY_PIXELS), 413),
    "a body that is too large": ([post(30_000_000), *LARGER], 413),
    "a body that is too large, asked first": ([post(30_000_000, "Expect: 100-continue"), *LARGER], 413),
    "chunks that are too large": ([CHUNKED, *[b"f4240\r\n" + part + b"\r\n" for part in LARGER], b"0\r\n\r\n"], 413),
    "a body where none belongs": ([request("GET /classify", "Content-Length: 30000000"), *LARGER], 404),
    "a body that stops": ([post(5000), b"abc"], 408),
    "a body that drips": ([post(5000), *DRIPS], 408),
    "chunks that stop": ([CHUNKED, b"5\r\nab"], 400),
    "chunks that never begin": ([CHUNKED], 400),
    "a broken chunk, and more": ([CHUNKED, b"ZZ\r\n", *LARGER], 400),
    "two lengths": ([request("POST /predict", "Content-Length: 5", "Content-Length: 6"), b"hello"], 400),
    "a length and chunks": ([request("POST /predict", "Content-Length: 5", "Transfer-Encoding: chunked")], 400),
    "an unknown transfer coding, and a body": ([request("POST /predict", "Transfer-Encoding: zip"), *LARGER], 400),
    "an expectation that nobody can meet": ([post(5, "Expect: miracles"), b"hello"], 417),
    "a header that is too large, and a body": ([post(30_000_000, "X: " + "a" * 20_000), *LARGER], 431),
    "more headers than are read, and a body": ([post(30_000_000, *["X: a"] * 200), *LARGER], 431),
    "an address that is too long, and a body": ([post(30_000_000, path="/" + "a" * 20_000), *LARGER], 414),
    "an unknown version": ([b"GET / HTTP/9.9\r\n\r\n"], 400),
    "the beginning of TLS": ([b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"], 400),
}


def assert_no_blame(status: int, case: str) -> None:
    assert status not in (502, 503, 504), case


@pytest.mark.parametrize("case", CASES)
def test_what_one_client_sends_is_answered_as_its_own_doing(server: Server, case: str) -> None:
    """And where the answer does not say that its connection ends, the next request on it is served."""
    parts, status = CASES[case]
    with connect(server) as connection:
        sending = Sending(connection, parts)
        reply = receive(connection)
        assert_no_blame(reply.status, case)
        assert reply.status == status
        assert sending.error is None, "the connection broke before the answer was there"
        if not reply.last:
            sending.finish()
            connection.sendall(request("GET /healthz"))
            assert receive(connection).status == 200
    assert server.request("GET", "/readyz").status == 200


def test_whoever_leaves_early_leaves_no_trace(server: Server) -> None:
    """Before, in and after the head, in the body, before the answer: the machine goes on, and blames nobody else."""
    whole = b"".join(picture(HUGE))
    for end in (0, 1, 30, 70, 5000, len(whole)) * 20:
        with connect(server) as connection:
            connection.sendall(whole[:end])
    while server.request("POST", "/predict", PICTURE).status == 429:
        pass
    assert server.request("POST", "/predict", PICTURE).status == 200
    assert not [line for line in server.lines() if line["severity"] in ("ERROR", "CRITICAL")]


def test_a_crowd_is_refused_and_nothing_else(server: Server) -> None:
    """Forty at once at a server of three places, with more work than its time allows; some allow themselves less."""
    answers: list[Answer] = []

    def client(number: int) -> None:
        headers = {"X-Request-Timeout-Ms": str(10 * number)} if number % 4 == 1 else {}
        for _ in range(3):
            answers.append(server.request("POST", "/predict", HUGE, headers))  # noqa: PERF401  # shared by all

    clients = [threading.Thread(target=client, args=(number,)) for number in range(40)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert len(answers) == 120
    for answer in answers:
        assert_no_blame(answer.status, "a crowd")
        assert answer.status in (200, 408, 429)
        assert (answer.status == 429) == ("retry-after" in answer.headers)


def test_hostile_files_are_answered_as_their_senders_doing(server: Server, shared_data: Path) -> None:
    files = sorted(file for file in (shared_data / "odd").rglob("*") if file.is_file())[::20]
    for file in files:
        answer = server.request("POST", "/predict", file.read_bytes())
        assert_no_blame(answer.status, file.name)
        assert answer.status == 200 or 400 <= answer.status < 500, file.name
