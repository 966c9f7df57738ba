"""A trained model behind the server: every engine, and what only a network that sees shapes can tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.model.bundle import Bundle
from tests.server import Server, running


@pytest.fixture(scope="module")
def server(digits_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("digits"), MODEL_DIR=digits_bundle.path) as started:
        yield started


@pytest.fixture(scope="module")
def digit(digits_bundle: Bundle) -> bytes:
    return (digits_bundle.path / "samples" / "digit-5.png").read_bytes()


def assert_classifies(server: Server, digit: bytes) -> None:
    for lang, label in (("en", "5"), ("zh", "五")):
        answer = server.request("POST", f"/predict?lang={lang}", digit)
        assert answer.status == 200
        assert answer.json()["predictions"][0]["label"] == label


def test_a_digit_is_classified_over_http(server: Server, digit: bytes) -> None:
    assert_classifies(server, digit)


def test_which_model_is_answering_is_said_everywhere(server: Server, digits_bundle: Bundle) -> None:
    """On the page, by /version and in the log."""
    page = server.request("GET", "/").body.decode()
    assert "it knows handwritten digits 0-9 and nothing else" in page
    assert server.request("GET", "/version").json()["model"]["bundle_sha256"] == digits_bundle.sha256
    (ready,) = [line for line in server.lines() if line["message"].startswith("ready: ")]
    assert "resnet18 (digits)" in ready["message"]
    assert ready["severity"] == "INFO"


@pytest.mark.parametrize("picture", ["Landscape", "Portrait"])
def test_the_nine_orientations_of_a_picture_get_one_answer(server: Server, shared_data: Path, picture: str) -> None:
    answers = []
    for orientation in range(9):
        file = shared_data / "odd" / "exif-orientation" / f"{picture}_{orientation}.jpg"
        answers.append(server.request("POST", "/predict", file.read_bytes()).json()["predictions"])
    assert len({answer[0]["label"] for answer in answers}) == 1
    probabilities = [answer[0]["probability"] for answer in answers]
    assert max(probabilities) - min(probabilities) < 0.2  # the nine files differ by up to 1.6 grey levels themselves


@pytest.mark.parametrize("engine", ["onnxruntime", "ncnn", "torch"])
def test_the_other_engines_serve_too(engine: str, digits_bundle: Bundle, tmp_path: Path, digit: bytes) -> None:
    with running(tmp_path, MODEL_DIR=digits_bundle.path, ENGINE=engine) as server:
        assert_classifies(server, digit)
        assert server.request("GET", "/version").json()["model"]["engine"] == engine
