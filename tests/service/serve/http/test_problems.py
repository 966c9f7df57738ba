"""The error contract, on its exact bodies.

Every error is application/problem+json with `type` (where /docs describes it), `title`, `status`, `detail` (what
happened, with the value, and what to do) and `request_id`; never HTML, never a stack trace.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.errors import Overloaded, Problem
from service.serve.admission import Deadline
from service.serve.http.application import create_app
from service.serve.http.context import services
from service.serve.http.openapi import problem_classes
from service.settings import Settings
from tests.conftest import FakeClassifier, coloured, encode, multipart, photo
from tests.service.serve.http.conftest import MakeClient

PICTURE = coloured((255, 0, 0))
SPOILT = PICTURE.translate(None, b"\r\n\0")
FORMATS = "JPEG, PNG, WebP, GIF, BMP or AVIF"


def assert_problem(answer: TestResponse, status: int, name: str, title: str, detail: str) -> None:
    """The contract, written once."""
    assert answer.content_type == "application/problem+json"
    assert answer.status_code == status
    assert answer.get_json(force=True) == {
        "type": f"/docs#{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": answer.headers["X-Request-ID"],
    }


def post_form(client: FlaskClient, *parts: tuple[str, str | None, bytes]) -> TestResponse:
    body, content_type = multipart(*parts)
    return client.post("/predict", data=body, content_type=content_type)


def form(**fields: Any) -> dict[str, Any]:
    return {"data": fields, "content_type": "multipart/form-data"}


CASES: dict[str, tuple[Callable[[FlaskClient], TestResponse], int, str, str, str]] = {
    "an empty body": (
        lambda c: c.post("/predict"),
        *(400, "empty-body", "The picture is empty"),
        f"The request has no body. Send a {FORMATS} file.",
    ),
    "an empty file in a form": (
        lambda c: c.post("/predict", **form(file=(io.BytesIO(b""), "a.jpg"))),
        *(400, "empty-body", "The picture is empty"),
        f"The picture has 0 bytes. Send a {FORMATS} file.",
    ),
    "a form with other names": (
        lambda c: c.post("/predict", **form(picture=(io.BytesIO(PICTURE), "a.png"), note="x")),
        *(400, "missing-file", "The form holds no picture"),
        "The form has no file part named file (or image). It has: note, picture.",
    ),
    "a picture as a text field": (
        lambda c: c.post("/predict", **form(file="@a.png")),
        *(400, "missing-file", "The form holds no picture"),
        (
            "The part named file has no file name, so its 6 bytes are text, not a picture. Send the file itself, not "
            "its name and not base64; with curl, -F file=@PICTURE."
        ),
    ),
    "an empty form": (
        lambda c: c.post("/predict", data=b"--x--\r\n", content_type="multipart/form-data; boundary=x"),
        *(400, "missing-file", "The form holds no picture"),
        "The form has no file part named file (or image). It is empty.",
    ),
    "a form without a boundary": (
        lambda c: c.post("/predict", data=b"x", content_type="multipart/form-data"),
        *(400, "malformed-body", "The body cannot be read"),
        "The form's Content-Type names no boundary. Let the HTTP library set that header.",
    ),
    "a form that breaks off": (
        lambda c: c.post("/predict", data=b"--x\r\nabc", content_type="multipart/form-data; boundary=x"),
        *(400, "malformed-body", "The body cannot be read"),
        "The request's body cannot be read: Invalid form-data cannot parse beyond State.PART. Send it again.",
    ),
    "a form with a huge text field": (
        lambda c: post_form(c, ("file", None, b"x" * 600_000)),
        *(400, "malformed-body", "The body cannot be read"),
        "The text field 'file' has more than 500000 bytes. Send a picture as a part with a file name.",
    ),
    "a form with too many parts": (
        lambda c: post_form(c, *[("note", None, b"x")] * 65),
        *(400, "malformed-body", "The body cannot be read"),
        "The form has more than 64 parts. Send less at once.",
    ),
    "a form with a huge file name": (
        lambda c: post_form(c, ("file", "\\a" * 10_000, PICTURE)),
        *(400, "malformed-body", "The body cannot be read"),
        "A part of the form has a head of 20056 bytes. Give it a shorter file name.",
    ),
    "too many files": (
        lambda c: c.post("/predict", **form(file=[(io.BytesIO(PICTURE), "a.png")] * 17)),
        *(400, "too-many-files", "Too many pictures in one request"),
        "The form holds 17 pictures, more than the 16 that are accepted at once.",
    ),
    "top_k that is no number": (
        lambda c: c.post("/predict?top_k=three", data=PICTURE),
        *(400, "bad-parameter", "A parameter cannot be used"),
        "top_k='three': expected a whole number from 1 to 3.",
    ),
    "top_k beyond the classes": (
        lambda c: c.post("/predict?top_k=4", data=PICTURE),
        *(400, "bad-parameter", "A parameter cannot be used"),
        "top_k='4': expected a whole number from 1 to 3.",
    ),
    "top_k in other digits": (
        lambda c: c.post("/predict?top_k=２", data=PICTURE),
        *(400, "bad-parameter", "A parameter cannot be used"),
        "top_k='２': expected a whole number from 1 to 3.",
    ),
    "a language without labels": (
        lambda c: c.post("/predict?lang=fr", data=PICTURE),
        *(400, "bad-parameter", "A parameter cannot be used"),
        "lang='fr': expected one of en, zh.",
    ),
    "a time that is no number": (
        lambda c: c.post("/predict", data=PICTURE, headers={"X-Request-Timeout-Ms": "1s"}),
        *(400, "bad-parameter", "A parameter cannot be used"),
        "X-Request-Timeout-Ms='1s': expected milliseconds, a whole number from 1.",
    ),
    "an unknown address": (
        lambda c: c.get("/predictions"),
        *(404, "not-found", "No such address"),
        "There is nothing at /predictions. GET /docs lists the addresses.",
    ),
    "the wrong method": (
        lambda c: c.get("/predict"),
        *(405, "method-not-allowed", "This address does not take that method"),
        "/predict takes POST, not GET.",
    ),
    "a body that stops early": (
        lambda c: c.post("/predict", input_stream=io.BytesIO(b"abc"), environ_overrides={"CONTENT_LENGTH": "5000"}),
        *(408, "body-timeout", "The picture arrived too slowly"),
        "3 of 5000 bytes arrived in time. Send it again, or send it smaller.",
    ),
    "too many bytes": (
        lambda c: c.post("/predict", input_stream=io.BytesIO(b""), environ_overrides={"CONTENT_LENGTH": "20000001"}),
        *(413, "too-many-bytes", "The request is too large"),
        "The request is larger than the 20000000 bytes that are accepted. Send less at once.",
    ),
    "too many pixels": (
        lambda c: c.post("/predict", data=encode(photo().resize((6000, 5000)), "WEBP", quality=1)),
        *(413, "too-many-pixels", "The picture has too many pixels"),
        (
            "The picture has 6000 x 5000 pixels, more than the 25000000 that are accepted. Send it smaller. "
            "Baseline JPEGs may be larger than other formats."
        ),
    ),
    "another content type": (
        lambda c: c.post("/predict", json={"image": "..."}),
        *(415, "unsupported-media-type", "The request is not a picture"),
        (
            f"The request says that it is application/json. Send the bytes of a {FORMATS} file with its own type or "
            "as application/octet-stream, or a multipart/form-data form with a part named file."
        ),
    ),
    "a picture that curl's -d has spoilt": (
        lambda c: c.post("/predict", data=SPOILT, content_type="application/x-www-form-urlencoded"),
        *(415, "unsupported-media-type", "The request is not a picture"),
        (
            f"These {len(SPOILT)} bytes came as the text of a form (application/x-www-form-urlencoded) and are no "
            "picture, or no longer one: curl's -d and --data leave bytes out. Use --data-binary @PICTURE or -F "
            "file=@PICTURE."
        ),
    ),
    "a compressed body": (
        lambda c: c.post("/predict", data=gzip.compress(PICTURE), headers={"Content-Encoding": "GZIP"}),
        *(415, "unsupported-encoding", "The body is compressed"),
        (
            "The body has the Content-Encoding 'GZIP'. Send the picture as it is, without that header: it is "
            "compressed already."
        ),
    ),
    "no picture": (
        lambda c: c.post("/predict", data=b"hello"),
        *(415, "unsupported-format", "The picture is in no supported format"),
        f"These 5 bytes are no picture that this service reads. Send a {FORMATS} file.",
    ),
    "a damaged picture": (
        lambda c: c.post("/predict", data=PICTURE[:50]),
        *(422, "damaged-picture", "The picture is damaged"),
        "The picture of 50 bytes cannot be decoded: image file is truncated. Export it again, or send another.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_what_is_wrong(client: FlaskClient, case: str) -> None:
    ask, status, name, title, detail = CASES[case]
    assert_problem(ask(client), status, name, title, detail)


def test_too_many_bytes_are_refused_before_they_are_read(client: FlaskClient) -> None:
    class Unread(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise AssertionError("the body was read")

    assert (
        client.post("/predict", input_stream=Unread(), environ_overrides={"CONTENT_LENGTH": str(10**9)}).status_code
        == 413
    )


def test_a_chunked_body_is_cut_at_the_limit(make_client: MakeClient) -> None:
    answer = make_client(max_body_bytes=1000).post(
        "/predict", input_stream=io.BytesIO(bytes(5000)), environ_overrides={"wsgi.input_terminated": True}
    )
    detail = "The request is larger than the 1000 bytes that are accepted. Send less at once."
    assert_problem(answer, 413, "too-many-bytes", "The request is too large", detail)


def test_a_compressed_body_is_told_what_is_taken(client: FlaskClient) -> None:
    for coding, status in {"br": 415, "gzip, identity": 415, "identity": 200, "": 200}.items():
        answer = client.post("/predict", data=PICTURE, headers={"Content-Encoding": coding})
        assert (answer.status_code, answer.headers.get("Accept-Encoding")) == (
            status,
            "identity" if status == 415 else None,
        )


def test_the_method_that_is_allowed_is_in_the_header(client: FlaskClient) -> None:
    assert client.delete("/predict").headers["Allow"] == "POST"


def test_overload(make_client: MakeClient) -> None:
    """429 says when to come back, in the header and in words."""
    client = make_client(threads=1, queue_size=0)
    state = services(client.application)
    with state.admission.enter(), state.admission.enter():
        answer = client.post("/predict", data=PICTURE)
    detail = (
        "2 requests with 0 bytes are being served or are waiting, which is all this server takes. Try again in 1 s."
    )
    assert_problem(answer, 429, "overloaded", "The service is busy", detail)
    assert answer.headers["Retry-After"] == "1"


def test_a_model_that_fails_its_known_answer_test_is_not_served() -> None:
    client = create_app(Settings(), FakeClassifier(failure="known-answer test failed: a.png")).test_client()
    detail = "This server cannot classify: known-answer test failed: a.png"
    for answer in (client.get("/readyz"), client.post("/predict", data=PICTURE)):
        assert_problem(answer, 503, "not-ready", "The service is not ready", detail)
    assert client.get("/healthz").status_code == 200


def test_the_time_that_the_service_allows(make_client: MakeClient) -> None:
    """Over while the request waited: that is overload, and it says when to come back."""
    client = make_client(threads=1, request_timeout_sec=1)
    state = services(client.application)
    with state.admission.slot(Deadline(10)), state.admission.slot(Deadline(10)):
        answer = client.post("/predict", data=PICTURE)
    detail = (
        "The 1 s that a request may take were over before its turn came. Try again in 1 s, or send fewer or smaller "
        "pictures."
    )
    assert_problem(answer, 429, "out-of-time", "The service had no time for the request", detail)
    assert answer.headers["Retry-After"] == "1"


def test_the_time_that_the_request_allows(make_client: MakeClient) -> None:
    client = make_client(threads=1)
    state = services(client.application)
    with state.admission.slot(Deadline(10)), state.admission.slot(Deadline(10)):
        answer = client.post("/predict", data=PICTURE, headers={"X-Request-Timeout-Ms": "20"})
    detail = (
        "The 20 ms of the request's own X-Request-Timeout-Ms were over before its turn came. Allow more, leave that "
        "header out, or send fewer or smaller pictures."
    )
    assert_problem(answer, 408, "deadline-exceeded", "The request's own time limit is over", detail)
    assert "Retry-After" not in answer.headers


def test_our_own_mistakes_say_so_and_show_nothing(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeClassifier):
        def classify(self, *args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError("secret")

    answer = make_client(Broken()).post("/predict", data=PICTURE)
    detail = "This is a mistake of the service, not of the request. Its log has the details."
    assert_problem(answer, 500, "internal-error", "The service made a mistake", detail)
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.request_id == answer.headers["X-Request-ID"]  # type: ignore[attr-defined]


def test_every_type_is_described_where_it_points(client: FlaskClient) -> None:
    page = client.get("/docs").text
    for problem in problem_classes():
        assert f'id="{problem.name}"' in page


def test_every_problem_has_a_case_here() -> None:
    """A new problem needs a test on its exact body."""
    elsewhere = {"overloaded", "out-of-time", "not-ready", "deadline-exceeded", "internal-error"}
    elsewhere |= {"malformed-request", "address-too-long", "unknown-expectation", "head-too-large"}  # test_server.py
    assert {name for _, _, name, _, _ in CASES.values()} | elsewhere == {p.name for p in Problem.__subclasses__()}
    assert Overloaded("x", 3).headers == {"Retry-After": "3"}
