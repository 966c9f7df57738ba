"""What is sent: exact proportions, pictures of the promised sorts, forms and raw bodies that the service reads."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from loadtest.errors import LoadTestError
from loadtest.plan import mix, pictures
from loadtest.plan.bodies import PICTURES_AT_ONCE, Bodies
from service.errors import Problem
from service.model.images import Geometry, load
from service.model.limits import Limits
from tests.conftest import encode, photo


@pytest.fixture(scope="module")
def stock() -> pictures.Stock:
    return pictures.generate(set(mix.REQUEST_KINDS))


def test_every_deck_has_the_exact_proportions_and_its_own_order() -> None:
    dealt = list(itertools.islice(mix.deal(mix.TYPICAL), 100))
    decks = [dealt[n : n + 25] for n in range(0, 100, 25)]
    assert all(Counter(deck) == mix.TYPICAL for deck in decks)
    assert len({tuple(deck) for deck in decks}) == 4


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("typical", mix.TYPICAL),
        ("small", {"small": 1}),
        ("small=18, bad=2", {"small": 9, "bad": 1}),
        ("small=1,phone=0", {"small": 1}),
    ],
)
def test_a_mix_is_read(text: str, found: dict[str, int]) -> None:
    assert mix.parse(text) == found


@pytest.mark.parametrize(
    "text", ["smal", "small=", "small=-1", "small=1.5", "small=0", "", "small=1,,", "small=9999,png=1"]
)
def test_a_mix_that_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(LoadTestError, match="--mix"):
        mix.parse(text)


def test_made_pictures_are_of_the_promised_sizes(stock: pictures.Stock) -> None:
    sizes = {
        request_kind: {Image.open(io.BytesIO(p.data)).size for p in stock[request_kind]}
        for request_kind in ("small", "phone", "png")
    }
    assert sizes == {"small": {(500, 375)}, "phone": {(4000, 3000)}, "png": {(1000, 750)}}
    assert len({p.data for p in stock["small"]}) == 8


def test_made_pictures_weigh_what_photographs_do(stock: pictures.Stock) -> None:
    """Between half and twice a photograph of the same size and quality, as photographs among themselves."""
    photograph = encode(photo().resize((500, 375)), quality=90)
    mean = sum(len(p.data) for p in stock["small"]) / len(stock["small"])
    assert 0.5 < mean / len(photograph) < 2


def test_the_service_reads_the_good_ones_and_tells_the_bad_ones_apart(stock: pictures.Stock) -> None:
    geometry, limits = Geometry(), Limits()
    for request_kind in ("small", "phone", "png"):
        for picture in stock[request_kind]:
            load(picture.data, geometry, limits)
    for picture in stock["bad"]:
        with pytest.raises(Problem):
            load(picture.data, geometry, limits)


def test_the_same_seed_makes_the_same_pictures() -> None:
    assert pictures.generate({"small"}, 4) == pictures.generate({"small"}, 4)
    assert pictures.generate({"small"}, 4) != pictures.generate({"small"}, 5)


def test_small_pictures_go_raw_three_times_of_four_and_phones_by_form(stock: pictures.Stock) -> None:
    bodies = Bodies(stock)
    raw = [bodies.next("small").content_type == "image/jpeg" for _ in range(32)]
    assert sum(raw) == 24
    assert all(bodies.next("phone").content_type.startswith("multipart/") for _ in range(4))


def test_several_at_once_are_one_form(stock: pictures.Stock) -> None:
    body = Bodies(stock).next("several")
    assert body.pictures == PICTURES_AT_ONCE
    assert body.data.count(b'name="file"; filename="small-') == PICTURES_AT_ONCE


def test_every_picture_is_sent(stock: pictures.Stock) -> None:
    bodies = Bodies(stock)
    sent = {bodies.next("small").data for _ in range(32)}
    assert {p.data for p in stock["small"]} <= sent


class TestFolder:
    def test_pictures_of_ones_own_are_sorted_by_kind_and_size(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        (tmp_path / "a.jpg").write_bytes(encode(photo()))
        (tmp_path / "deep" / "b.png").write_bytes(encode(photo(), "PNG"))
        (tmp_path / "c.jpg").write_bytes(encode(photo().resize((2400, 1600))))
        (tmp_path / "d.webp").write_bytes(encode(photo(), "WEBP"))
        (tmp_path / "notes.txt").write_text("no picture")
        said: list[str] = []
        stock = pictures.from_folder(tmp_path, said.append)
        names = {
            request_kind: [picture.name for picture in found]
            for request_kind, found in stock.items()
            if request_kind != "bad"
        }
        assert names == {"small": ["a.jpg", "d.webp"], "phone": ["c.jpg"], "png": ["b.png"]}
        assert stock["small"][1].media_type == "image/webp"
        assert "1 of 5 files are left out" in said[0]

    def test_kinds_without_a_picture_are_not_offered(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(encode(photo()))
        assert Bodies(pictures.from_folder(tmp_path)).request_kinds == {"small", "several", "bad"}

    def test_a_folder_without_pictures_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no picture")
        with pytest.raises(LoadTestError, match="none of its 1 files is a picture"):
            pictures.from_folder(tmp_path)
        with pytest.raises(LoadTestError, match="there is no such folder"):
            pictures.from_folder(tmp_path / "missing")
