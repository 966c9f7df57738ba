"""Which pages of other hosts may read an answer: every answer says so, errors and refusals included."""

from __future__ import annotations

import pytest

from service.errors import HeadTooLarge
from service.serve.http.context import services
from service.serve.responses import problem_bytes
from service.settings import Settings
from tests.conftest import coloured
from tests.service.serve.http.conftest import MakeClient

PICTURE = coloured((255, 0, 0))
OURS, OTHER, STRANGER = "https://app.example.com", "http://localhost:3000", "https://app.example.com.evil.example"
EXPOSED = "Allow, Retry-After, X-Request-ID"


@pytest.mark.parametrize(
    ("setting", "origin", "allowed", "varies"),
    [
        ("", OURS, None, False),
        (OURS, OURS, OURS, True),
        (f"{OURS} {OTHER}", OTHER, OTHER, True),
        (OURS, STRANGER, None, True),
        (OURS, "null", None, True),
        (OURS, None, None, True),
        ("*", STRANGER, "*", False),
        ("*", None, "*", False),
    ],
)
def test_every_answer_says_who_may_read_it(
    make_client: MakeClient, setting: str, origin: str | None, allowed: str | None, varies: bool
) -> None:
    client = make_client(cors_origins=setting, threads=1, queue_size=0)
    headers = {"Origin": origin} if origin else {}
    answers = [
        client.post("/predict", data=PICTURE, headers=headers),
        client.post("/predict", data=b"no picture", headers=headers),
        client.delete("/predict", headers=headers),
        client.get("/nothing", headers=headers),
        client.get("/", headers=headers),
    ]
    admission = services(client.application).admission
    with admission.enter(), admission.enter():
        answers.append(client.post("/predict", data=PICTURE, headers=headers))
    assert [answer.status_code for answer in answers] == [200, 415, 405, 404, 200, 429]
    for answer in answers:
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        assert answer.headers.get("Access-Control-Expose-Headers") == (EXPOSED if allowed else None)
        assert ("Origin" in answer.vary) == varies
    assert "Accept-Language" in answers[4].vary


@pytest.mark.parametrize(("setting", "status"), [("", 405), (OURS, 204), (OTHER, 405), ("*", 204)])
def test_a_browser_that_asks_first_is_told(make_client: MakeClient, setting: str, status: int) -> None:
    headers = {
        "Origin": OURS,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-request-timeout-ms",
    }
    answer = make_client(cors_origins=setting).options("/predict", headers=headers)
    assert answer.status_code == status
    if status == 204:
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Headers"] == "*"
        assert answer.headers["Access-Control-Allow-Origin"] == ("*" if setting == "*" else OURS)
    assert make_client(cors_origins=setting).options("/predict").status_code == 405  # nobody's preflight


def test_who_writes_to_the_socket_says_it_too() -> None:
    """Where no origin could be read, only `*` helps."""
    for setting, origin, expected in (("*", None, b"*"), (OURS, OURS, OURS.encode()), (OURS, None, None)):
        head = problem_bytes(HeadTooLarge("x"), "id", "close", Settings(cors_origins=setting), origin)
        assert (b"Access-Control-Allow-Origin: %b\r\n" % (expected or b"") in head) == (expected is not None)
