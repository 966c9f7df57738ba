from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.model.classifier import Probabilities
from service.model.images import Geometry, Pixels
from service.serve.http.application import create_app
from service.serve.http.context import services
from service.settings import Settings
from tests.conftest import FakeClassifier, coloured, multipart
from tests.service.serve.http.conftest import MakeClient

RED, GREEN, BLUE = coloured((255, 0, 0)), coloured((0, 255, 0)), coloured((0, 0, 255), "BMP")


def parts(*files: tuple[str, bytes], field: str = "file") -> dict[str, Any]:
    return {field: [(io.BytesIO(data), name) for name, data in files]}


@pytest.mark.parametrize(
    "content_type", ["image/png", "application/octet-stream", "application/x-www-form-urlencoded", None]
)
def test_a_raw_body_is_a_picture_whatever_a_program_calls_it(client: FlaskClient, content_type: str | None) -> None:
    answer = client.post("/predict", data=RED, content_type=content_type)
    assert answer.status_code == 200
    assert answer.get_json()["predictions"][0] == {"label": "red", "index": 0, "probability": 1.0}
    assert answer.get_json()["model"] == {
        "architecture": "fake",
        "weights": "official",
        "precision": "fp32",
        "engine": "numpy",
    }
    assert set(answer.get_json()["timing_ms"]) == {"read", "wait", "decode", "infer", "total"}


@pytest.mark.parametrize("field", ["file", "image"])
def test_one_file_in_a_form_is_answered_like_a_raw_body(client: FlaskClient, field: str) -> None:
    answer = client.post("/predict", data=parts(("a.png", GREEN), field=field))
    assert answer.status_code == 200
    assert set(answer.get_json()) == {"predictions", "model", "timing_ms"}
    assert answer.get_json()["predictions"][0]["label"] == "green"


def test_several_files_are_answered_in_order_and_a_bad_one_spoils_no_other(client: FlaskClient) -> None:
    files = [("a.png", RED), ("b.txt", b"no picture"), ("c.bmp", BLUE), ("d.png", RED[:60]), ("e.png", b"")]
    answer = client.post("/predict?top_k=1", data=parts(*files))
    assert answer.status_code == 200
    results = answer.get_json()["results"]
    assert [result["filename"] for result in results] == ["a.png", "b.txt", "c.bmp", "d.png", "e.png"]
    assert results[0]["predictions"] == [{"label": "red", "index": 0, "probability": 1.0}]
    assert results[2]["predictions"][0]["label"] == "blue"
    assert [results[i]["error"]["status"] for i in (1, 3, 4)] == [415, 422, 400]


def test_top_k_and_lang_choose_how_many_labels_in_which_language(client: FlaskClient) -> None:
    for count in (1, 2, 3):
        answer = client.post(f"/predict?top_k={count}&lang=zh", data=BLUE)
        assert len(answer.get_json()["predictions"]) == count
        assert answer.get_json()["predictions"][0]["label"] == "蓝"
        assert "蓝" in answer.text  # as itself, not as an escape


def test_a_chunked_body_is_read(client: FlaskClient) -> None:
    answer = client.post(
        "/predict",
        input_stream=io.BytesIO(RED),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 200


class Gate(FakeClassifier):
    """A classifier that works until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.exclusive: list[bool] = []

    def classify(self, pixels: Pixels, *, exclusive: bool = True) -> Probabilities:
        self.exclusive.append(exclusive)
        self.entered.release()
        assert self.open.wait(20)
        return super().classify(pixels, exclusive=exclusive)


def test_a_full_house_refuses_at_once_and_serves_on_afterwards() -> None:
    """Two at work, one waiting: the fourth gets 429 without being read, and the first three get their answers."""
    gate = Gate()
    app = create_app(Settings(threads=1, queue_size=1), gate)
    codes: list[int] = []

    def send() -> None:
        codes.append(app.test_client().post("/predict", data=RED).status_code)

    callers = [threading.Thread(target=send) for _ in range(3)]
    for caller in callers:
        caller.start()
    admission = services(app).admission
    while admission.queued == 0:
        threading.Event().wait(0.005)

    class Unread(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise AssertionError("the body was read")

    refused = app.test_client().post("/predict", input_stream=Unread(), environ_overrides={"CONTENT_LENGTH": "100"})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    gate.open.set()
    for caller in callers:
        caller.join(20)
    assert codes == [200, 200, 200]
    assert app.test_client().post("/predict", data=RED).status_code == 200
    metrics = app.test_client().get("/metrics").text
    assert 'classifier_refused_total{reason="overloaded"} 1.0' in metrics
    assert "classifier_in_flight 0.0" in metrics


def test_a_request_learns_whether_it_is_alone() -> None:
    """Alone it gets all processors; with others, one."""
    gate = Gate()
    app = create_app(Settings(threads=2), gate)
    callers = [threading.Thread(target=lambda: app.test_client().post("/predict", data=RED)) for _ in range(2)]
    for caller in callers:
        caller.start()
        assert gate.entered.acquire(timeout=10)
    gate.open.set()
    for caller in callers:
        caller.join(20)
    assert gate.exclusive == [True, False]


@pytest.mark.parametrize(("header", "status"), [("1", 408), ("5000", 200), ("99999999", 200)])
def test_a_client_may_limit_its_own_time(header: str, status: int) -> None:
    """A classifier that takes 20 ms to decode for: 1 ms is over before, 5 s is not."""

    class Slow(FakeClassifier):
        @property
        def geometry(self) -> Geometry:  # type: ignore[override]  # asked for just before decoding
            threading.Event().wait(0.02)
            return Geometry(36, 32)

    client = create_app(Settings(), Slow()).test_client()
    assert client.post("/predict", data=RED, headers={"X-Request-Timeout-Ms": header}).status_code == status


def test_the_time_of_a_request_is_over_while_it_waits() -> None:
    gate = Gate()
    app = create_app(Settings(threads=1, request_timeout_sec=1), gate)
    callers = [threading.Thread(target=lambda: app.test_client().post("/predict", data=RED)) for _ in range(2)]
    for caller in callers:
        caller.start()
        assert gate.entered.acquire(timeout=10)
    late = app.test_client().post("/predict", data=RED)
    assert late.status_code == 429
    assert late.get_json(force=True)["type"] == "/docs#out-of-time"
    assert late.headers["Retry-After"] == "1"
    hasty = app.test_client().post("/predict", data=RED, headers={"X-Request-Timeout-Ms": "5"})
    assert hasty.status_code == 408
    assert len(gate.exclusive) == 2  # nothing was computed for them
    metrics = app.test_client().get("/metrics").text
    assert 'classifier_refused_total{reason="out-of-time"} 1.0' in metrics
    assert 'classifier_refused_total{reason="deadline-exceeded"} 1.0' in metrics
    gate.open.set()
    for caller in callers:
        caller.join(20)


def test_a_request_that_has_begun_is_not_refused_in_the_middle() -> None:
    """The house fills up between two pictures of one request: the second waits for its turn."""
    gate = Gate()
    app = create_app(Settings(threads=1, queue_size=1), gate)
    answers: list[TestResponse] = []

    def send(data: Any) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.append(app.test_client().post("/predict", data=data)))
        thread.start()
        return thread

    callers = [send(parts(("a.png", RED), ("b.png", GREEN)))]
    assert gate.entered.acquire(timeout=10)
    callers += [send(RED), send(RED)]
    admission = services(app).admission
    while admission.queued == 0:
        threading.Event().wait(0.005)
    for _ in range(5000):
        assert admission.refusal(1) is not None
    limit = admission.queue_limit
    gate.open.set()
    for caller in callers:
        caller.join(20)
    assert limit == 0
    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_uploads_never_touch_the_disk(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Werkzeug would put files over 500 KB into temporary files."""
    import tempfile

    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a temporary file was opened")

    for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile"):
        monkeypatch.setattr(tempfile, name, forbidden)
        monkeypatch.setattr(f"werkzeug.formparser.{name}", forbidden, raising=False)
    large = RED + bytes(3_000_000)
    body, content_type = multipart(("file", "a.png", large), ("file", "b.png", large))
    answer = make_client().post("/predict", data=body, content_type=content_type)
    assert [set(result) for result in answer.get_json()["results"]] == [{"filename", "predictions"}] * 2
