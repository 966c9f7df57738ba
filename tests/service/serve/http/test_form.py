"""Forms as programs really send them: names in any encoding, parts in any order, text where a file should be."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.conftest import coloured, multipart

RED, GREEN = coloured((255, 0, 0)), coloured((0, 255, 0))


def form(*parts: tuple[bytes, bytes]) -> dict[str, object]:
    """Encode a form of (what follows `form-data`, content)."""
    body = b"".join(
        b"--x\r\nContent-Disposition: form-data" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    return {"data": body + b"--x--\r\n", "content_type": "multipart/form-data; boundary=x"}


NAMES = {
    "GBK": ("天狗.png".encode("gbk"), "\ufffd\uce77.png"),
    "Latin-1": ("größe.png".encode("latin-1"), "gr\ufffd\ufffde.png"),
    "Big5, with a byte that is a backslash": ("許.png".encode("big5"), "\ufffd.png"),
    "UTF-8": ("天狗.png".encode(), "天狗.png"),
    "UTF-16": ("a.png".encode("utf-16"), "\ufffd\ufffda\0.\0p\0n\0g\0"),
    "a zero byte": (b"a\0b.png", "a\0b.png"),
    "a long one": (b"a" * 10_000, "a" * 10_000),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_file_name_spoils_nothing(client: FlaskClient, case: str) -> None:
    sent, shown = NAMES[case]
    answer = client.post(
        "/predict", **form((b'; name="file"; filename="%b"' % sent, RED), (b"; name=file; filename=b", GREEN))
    )
    first, second = answer.get_json()["results"]
    assert first["predictions"][0]["label"] == "red"
    assert second["predictions"][0]["label"] == "green"
    assert second["filename"] == "b"
    assert first["filename"] == shown


@pytest.mark.parametrize(
    "head",
    [
        b"; name=file; filename*=UTF-8''%E5%A4%A9.png",
        b"; name=file; filename*=nonsense",
        b"; name=file; filename*=utf-8''%FF%FE",
        b"; name=file; filename=a; filename=b",
        b'; name=file; filename="a\\"b.png"',
        b'; name=file; filename=""',
        b"; name=file; filename=a\r\nContent-Type: \xff\xfe",
        b"; name=file; filename=a\r\n\xcc: \xec",
        b'; name="file";\r\n filename="a.png"',
    ],
)
def test_an_odd_head_is_read_as_far_as_it_can_be(client: FlaskClient, head: bytes) -> None:
    answer = client.post("/predict", **form((head, GREEN)))
    assert answer.status_code == 200
    assert answer.get_json()["predictions"][0]["label"] == "green"


@pytest.mark.parametrize("head", [b"", b"; filename=a.png", b"; name=other; filename=a.png", b"; name=; filename=a"])
def test_a_part_without_our_name_is_no_picture_of_ours(client: FlaskClient, head: bytes) -> None:
    answer = client.post("/predict", **form((head, GREEN), (b"; name=note", b"hello")))
    assert answer.status_code == 400
    assert "no file part named file (or image). It has: note, o" in answer.get_json(force=True)["detail"]


def test_files_and_images_are_answered_in_the_order_in_which_they_were_sent(client: FlaskClient) -> None:
    names = ["image", "file", "image", "file"]
    body, content_type = multipart(*((name, f"{number}.png", RED) for number, name in enumerate(names)))
    answer = client.post("/predict", data=body, content_type=content_type)
    assert [result["filename"] for result in answer.get_json()["results"]] == ["0.png", "1.png", "2.png", "3.png"]


def test_a_picture_in_a_text_field_spoils_no_other(client: FlaskClient) -> None:
    """Whoever sent three gets three answers; a text field that nobody filled in counts for nothing."""
    parts = [("file", "a.png", RED), ("file", None, GREEN), ("image", "c.png", GREEN), ("image", None, b"")]
    body, content_type = multipart(*parts)
    first, second, third = client.post("/predict", data=body, content_type=content_type).get_json()["results"]
    assert [result["predictions"][0]["label"] for result in (first, third)] == ["red", "green"]
    assert second["error"]["type"] == "/docs#missing-file"
    assert f"its {len(GREEN)} bytes are text" in second["error"]["detail"]


def test_a_form_that_stops_early_came_too_slowly(client: FlaskClient) -> None:
    body, content_type = multipart(("file", "a.png", RED))
    answer = client.post(
        "/predict", data=body[:-30], content_type=content_type, environ_overrides={"CONTENT_LENGTH": str(len(body))}
    )
    assert answer.status_code == 408
