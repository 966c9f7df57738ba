"""The service as it runs in production: gunicorn, real sockets, signals; test_digits_served.py has a trained model."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import psutil
import pytest

from service.model.bundle import Bundle
from service.serve.responses import SECURITY_HEADERS
from tests.conftest import REPOSITORY, encode, multipart, photo
from tests.server import Answer, Server, free_port, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("server"), MODEL_DIR=tiny_bundle.path) as started:
        yield started


@pytest.fixture(scope="module")
def green(tiny_bundle: Bundle) -> bytes:
    return (tiny_bundle.path / "samples" / "green.png").read_bytes()


def test_the_server_runs_with_fixed_thresholds_of_memory(server: Server) -> None:
    """Without them the largest picture so far decides how much is never given back (docs/decisions.md)."""
    found = psutil.Process(server.process.pid).environ()
    assert {name for name in found if name.startswith("MALLOC_")} == {
        "MALLOC_ARENA_MAX",
        "MALLOC_MMAP_THRESHOLD_",
        "MALLOC_TRIM_THRESHOLD_",
    }


def assert_classifies(server: Server, green: bytes) -> None:
    answer = server.request("POST", "/predict", green)
    assert answer.status == 200
    assert answer.json()["predictions"][0]["label"] == "green"


def raw(server: Server, data: bytes, wait_sec: float = 10) -> bytes:
    """Send bytes as they are and return what comes back until the server closes or has answered."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait_sec) as connection:
        connection.sendall(data)
        received = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
                if b'"detail"' in received:
                    break
        return received


def received_until_close(connection: socket.socket) -> bytes:
    received = b""
    while b'"detail"' not in received and (chunk := connection.recv(65536)):
        received += chunk
    return received


def test_pictures_are_classified_over_http(server: Server, green: bytes, jpeg: bytes) -> None:
    assert_classifies(server, green)
    body, content_type = multipart(("file", "a.png", green), ("image", "b.jpg", jpeg), ("file", "c.txt", b"hello"))
    answer = server.request("POST", "/predict?lang=zh", body, {"Content-Type": content_type})
    results = answer.json()["results"]
    assert [result["filename"] for result in results] == ["a.png", "b.jpg", "c.txt"]
    assert results[0]["predictions"][0]["label"] == "绿"
    assert results[2]["error"]["status"] == 415


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_every_format_is_classified(server: Server, kind: str) -> None:
    assert server.request("POST", "/predict", encode(photo(), kind)).status == 200


def test_every_line_on_standard_output_is_json_with_the_request_id(server: Server, green: bytes) -> None:
    answer = server.request("POST", "/predict", green, {"X-Request-ID": "find-me-1"})
    assert answer.headers["x-request-id"] == "find-me-1"
    (line,) = [line for line in server.lines() if line.get("request_id") == "find-me-1"]
    assert (line["logger"], line["status"]) == ("service.request", 200)


def hostile_files(shared_data: Path) -> list[Path]:
    return sorted(file for file in (shared_data / "odd").rglob("*") if file.is_file())


@pytest.mark.slow
def test_hostile_files_get_an_answer_and_do_no_harm(server: Server, green: bytes, shared_data: Path) -> None:
    """Every file: 2xx or 4xx, within 2 s, well-formed; and the server still classifies afterwards."""
    files = hostile_files(shared_data)
    assert len(files) > 1000
    for file in files:
        began = time.monotonic()
        answer = server.request("POST", "/predict", file.read_bytes())
        assert time.monotonic() - began < 2, file.name
        assert answer.status == 200 or 400 <= answer.status < 500, (file.name, answer.body)
        assert ("predictions" in answer.json()) == (answer.status == 200), file.name
    assert_classifies(server, green)
    assert not [line for line in server.lines() if line["severity"] in ("ERROR", "CRITICAL")]


MALFORMED = {
    "an unknown version": b"GET / HTTP/9.9\r\n\r\n",
    "the beginning of TLS": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "an unknown transfer coding": b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n",
    "a broken chunk": b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "a negative length": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a huge header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "a huge address": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an expectation": b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\n{}",
}


# What begins as HTTP reaches the route.
ROUTED = {"a broken chunk": ("malformed-body", "The body cannot be read")}
# What begins as HTTP reaches the route.
ROUTED = {"a broken chunk": ("malformed-body", "The body cannot be read")}
STATUSES = {"a huge header": 431, "a huge address": 414, "an expectation": 417}
PROBLEMS = {
    400: ("malformed-request", "The request is not valid HTTP"),
    414: ("address-too-long", "The request's address is too long"),
    417: ("unknown-expectation", "The request expects something unknown"),
    431: ("head-too-large", "The request's headers are too large"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_http_is_answered_with_4xx_in_the_common_form(server: Server, green: bytes, case: str) -> None:
    head, _, body = raw(server, MALFORMED[case]).partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    problem = json.loads(body)
    status = problem["status"]
    assert status == STATUSES.get(case, 400)
    name, title = ROUTED.get(case) or PROBLEMS[status]
    assert line == f"HTTP/1.1 {status} {HTTPStatus(status).phrase.upper()}"
    assert headers["Content-Type"] == "application/problem+json"
    assert SECURITY_HEADERS.items() <= headers.items()
    assert headers["Connection"] == "close"
    assert problem.pop("detail").endswith((".", "it."))
    identifier = headers["X-Request-ID"]
    assert problem == {"type": f"/docs#{name}", "title": title, "status": status, "request_id": identifier}
    assert_classifies(server, green)
    # The log knows the request under the id that its client was given.
    assert [item["status"] for item in server.lines() if item.get("request_id") == identifier] == [status]


@pytest.mark.slow
def test_a_client_that_stops_sending_is_told_and_holds_no_thread(
    tiny_bundle: Bundle, tmp_path: Path, green: bytes
) -> None:
    """Some stop in the header, some in the body, some drip: all are cut off when a request's time is over."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, REQUEST_TIMEOUT_SEC=1) as server:
        waiting = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(20)]
        for number, connection in enumerate(waiting):
            connection.sendall(head + b"abc" if number % 2 else head[:30])
        assert_classifies(server, green)
        answers = [received_until_close(connection) for connection in waiting]
        for number, (connection, answer) in enumerate(zip(waiting, answers, strict=True)):
            connection.close()
            if number % 2:
                assert answer.startswith(b"HTTP/1.1 408 "), answer
                assert b"3 of 5000 bytes arrived in time" in answer
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as dripping:
            dripping.sendall(head)
            dripping.settimeout(0.2)
            received, end = b"", time.monotonic() + 15
            while not received and time.monotonic() < end:
                with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
                    dripping.sendall(b"x")
                    received = dripping.recv(65536)
            assert received.startswith(b"HTTP/1.1 408 "), received
        assert_classifies(server, green)


@pytest.mark.slow
def test_overload_loses_nothing_and_probes_live(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Forty clients at a server that takes four: every request gets one well-formed answer, 200 or 429."""
    picture = encode(photo().resize((3000, 2000)), "PNG")
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, THREADS=1, QUEUE_SIZE=2) as server:
        answers: list[Answer] = []

        def client() -> None:
            for _ in range(3):
                answers.append(server.request("POST", "/predict", picture))  # noqa: PERF401  # shared by all threads

        clients = [threading.Thread(target=client) for _ in range(40)]
        for thread in clients:
            thread.start()
        probes = [server.request("GET", path).status for path in ("/healthz", "/readyz", "/metrics", "/") * 5]
        for thread in clients:
            thread.join(120)
        assert probes == [200] * 20
        assert len(answers) == 120
        by_status = {status: [a for a in answers if a.status == status] for status in {a.status for a in answers}}
        assert set(by_status) == {200, 429}
        assert len({answer.headers["x-request-id"] for answer in answers}) == 120
        for answer in by_status[429]:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["type"] == "/docs#overloaded"
        assert len(by_status[200]) >= 3
        assert server.request("GET", "/readyz").status == 200


@pytest.mark.slow
def test_a_lame_duck_says_no_serves_on_finishes_and_exits_with_0(
    tiny_bundle: Bundle, tmp_path: Path, green: bytes
) -> None:
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, DRAIN_SEC=2) as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        kept.request("GET", "/healthz")
        kept.getresponse().read()
        began = time.monotonic()
        os.killpg(server.process.pid, signal.SIGTERM)  # the parent and the worker, as `docker stop` in a shell does
        statuses: list[int] = []
        while not statuses or statuses[-1] == 200:
            statuses.append(server.request("GET", "/readyz").status)
        assert statuses[-1] == 503
        served = 0
        while time.monotonic() - began < 1.5:
            assert_classifies(server, green)
            served += 1
        assert served > 3
        late = threading.Thread(target=assert_classifies, args=(server, green))
        late.start()
        assert server.process.wait(timeout=30) == 0
        late.join(10)
        assert 2 <= time.monotonic() - began < 30
        assert [line["message"] for line in server.lines() if line["message"].startswith("draining")]
        kept.close()


def test_what_is_in_flight_is_finished(tiny_bundle: Bundle, tmp_path: Path, green: bytes) -> None:
    """The body arrives in two halves with SIGTERM between them."""
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, DRAIN_SEC=0) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(green))
            connection.sendall(green[:100])
            time.sleep(0.3)
            server.process.terminate()
            time.sleep(0.5)
            connection.sendall(green[100:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(timeout=30) == 0


@pytest.mark.parametrize("group", [False, True], ids=["to the parent", "to the group, as Ctrl-C does"])
def test_an_interrupt_ends_it_cleanly(group: bool, tiny_bundle: Bundle, tmp_path: Path) -> None:
    with running(tmp_path, MODEL_DIR=tiny_bundle.path) as server:
        if group:
            os.killpg(server.process.pid, signal.SIGINT)
        else:
            server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=20) == 0
        server.lines()
        assert (tmp_path / f"server-{server.port}.err").read_text() == ""


def test_a_log_file_gets_every_line_too(tiny_bundle: Bundle, tmp_path: Path, green: bytes) -> None:
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, LOG_FILE=tmp_path / "service.log") as server:
        assert_classifies(server, green)
        server.stop()
        assert (tmp_path / "service.log").read_text("utf-8") == server.log.read_text("utf-8")


def test_connections_that_say_nothing_keep_no_probe_out(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Also where a balancer's long patience is set: gunicorn stops accepting at 1,000 unless it is told otherwise."""
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, KEEPALIVE_SEC=620) as server, contextlib.ExitStack() as open_:
        for _ in range(1100):
            open_.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        assert server.request("GET", "/healthz").status == 200
        assert server.request("GET", "/readyz").status == 200


@pytest.mark.parametrize("host", ["::", "[::]"])
def test_an_ipv6_address_is_served(host: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Written as in a setting or as in a URL; the container's health check finds it."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, HOST=host, THREADS=1) as server:
        connection = http.client.HTTPConnection("::1", server.port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        check = [sys.executable, "-S", str(REPOSITORY / "container" / "healthcheck.py")]
        assert subprocess.run(check, env={"HOST": host, "PORT": str(server.port)}, check=False).returncode == 0
        assert subprocess.run(check, env={"HOST": host, "PORT": str(free_port())}, check=False).returncode == 1
