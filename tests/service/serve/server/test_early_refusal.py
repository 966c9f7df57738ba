from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

import pytest
from flask import Flask

from service.serve.http.application import create_app
from service.serve.http.context import services
from service.serve.server.hooks import hooks_of
from service.settings import Settings
from tests.conftest import FakeClassifier

SIMPLE = b"POST /predict?top_k=1 HTTP/1.1\r\nHost: x\r\nX-Request-ID: same\r\nContent-Length: 5\r\n\r\nhe"


@pytest.fixture
def app() -> Flask:
    settings = Settings(threads=1, queue_size=0, base_path="/base.path", cors_origins="https://app.example.com")
    return create_app(settings, FakeClassifier())


@contextlib.contextmanager
def full(app: Flask) -> Iterator[None]:
    """Both places of a server with one thread and no queue are taken."""
    admission = services(app).admission
    with admission.enter(5), admission.enter(5):
        yield


def ask(app: Flask, first_bytes: bytes) -> tuple[bytes, int] | None:
    hooks = hooks_of(app)
    assert hooks
    refusal = hooks.refuse(first_bytes)
    return (refusal.answer, refusal.request_bytes) if refusal else None


def refused(app: Flask, first_bytes: bytes) -> tuple[bytes, int]:
    answer = ask(app, first_bytes)
    assert answer
    return answer


@pytest.mark.parametrize("path", [b"/predict", b"/base.path/predict"])
@pytest.mark.parametrize("origin", ["", "https://app.example.com", "https://stranger.example"])
def test_it_says_what_the_route_would_say(app: Flask, path: bytes, origin: str) -> None:
    """The same status, body and headers, but for those that the server adds to every answer."""
    simple = SIMPLE.replace(b"/predict", path).replace(b"X-Req", b"Origin: %b\r\nX-Req" % origin.encode())
    with full(app):
        answer, request_bytes = refused(app, simple)
        routed = app.test_client().post(
            path.decode(), data=b"hello", headers={"X-Request-ID": "same", "Origin": origin}
        )
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    assert line == f"HTTP/1.1 {routed.status}" == "HTTP/1.1 429 TOO MANY REQUESTS"
    assert body == routed.data
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", headers.pop("Date"))
    assert headers.pop("Connection") == "keep-alive"
    assert headers == dict(routed.headers)
    assert request_bytes == len(simple) + 3  # of the five bytes in the body, two have come
    metrics = app.test_client().get("/metrics").text
    assert 'classifier_refused_total{reason="overloaded"} 2.0' in metrics
    assert 'classifier_requests_total{route="/predict",status="429"} 2.0' in metrics


def test_a_house_with_room_refuses_nobody(app: Flask) -> None:
    assert ask(app, SIMPLE) is None
    with full(app):
        pass
    assert ask(app, SIMPLE) is None


def test_without_a_model_the_route_says_why() -> None:
    app = create_app(Settings(threads=1, queue_size=0), FakeClassifier("broken"))
    with full(app):
        assert ask(app, SIMPLE) is None


LEFT_TO_THE_SERVER = {
    "the head has not come whole": SIMPLE[:60],
    "nothing has come": b"",
    "no prediction": b"GET /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "another path": b"POST /base-path/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "another address": b"POST /predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "an old version": b"POST /predict HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "no length": b"POST /predict HTTP/1.1\r\nHost: x\r\n\r\n",
    "a negative length": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "a length in other digits": "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: ٥\r\n\r\n".encode(),
    "two lengths": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "too large": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
    "chunks": b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "an expectation": b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "a last request": b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
    "a folded header": b"POST /predict HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\n",
    "a space before the colon": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n",
    "no host": b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
    "bare line feeds": b"POST /predict HTTP/1.1\nHost: x\nContent-Length: 5\n\n",
}


@pytest.mark.parametrize("case", LEFT_TO_THE_SERVER)
def test_what_is_not_simple_is_left_to_the_server(case: str, app: Flask) -> None:
    """Two parsers that disagree where a request ends would let one request be smuggled inside another."""
    with full(app):
        assert ask(app, LEFT_TO_THE_SERVER[case]) is None
        assert ask(app, SIMPLE) is not None


def test_an_id_that_could_break_a_header_is_replaced(app: Flask) -> None:
    with full(app):
        answer, _ = refused(app, SIMPLE.replace(b"same", b"a b\xff"))
    head, _, body = answer.partition(b"\r\n\r\n")
    identifier = json.loads(body)["request_id"]
    assert re.fullmatch("[0-9a-f]{32}", identifier)
    assert f"X-Request-ID: {identifier}".encode() in head


def test_refusals_are_logged_once_a_second_and_not_one_by_one(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    with full(app):
        assert all(ask(app, SIMPLE) for _ in range(20))
    assert len([record for record in caplog.records if "requests refused" in record.getMessage()]) == 1
