"""Whatever metadata are worth, a picture whose pixels are sound is read; one whose pixels are not is refused."""

from __future__ import annotations

import contextlib
import struct
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import DamagedPicture
from service.model import metadata
from service.model.images import Geometry, Pixels, load
from service.model.limits import MAX_PARTS, Limits
from tests.conftest import encode
from tests.service.model import odd_pictures
from tests.service.model.odd_pictures import ROTATED, picture, plain

GEOMETRY = Geometry(64, 64)


def seen(data: bytes) -> Pixels:
    return load(data, GEOMETRY, Limits())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_bad_metadata_cost_no_sound_picture(kind: str) -> None:
    expected = seen(plain(kind))
    for name, data in odd_pictures.sound().items():
        if name.startswith(kind):
            assert np.abs(seen(data).astype(int) - expected).mean() < 5, name


GIF_TABLES = 13 + 3 * 256  # a header and a palette, as Pillow writes them


@pytest.mark.parametrize(
    ("kind", "place", "part"),
    [
        ("JPEG", 2, b"\xff\xec\0\2"),
        ("PNG", 8, struct.pack(">I4sI", 0, b"teXt", 0)),
        ("WEBP", 12, struct.pack("<4sI", b"none", 0)),
        ("GIF", GIF_TABLES, b"!\xfe\0"),
        ("GIF", GIF_TABLES + 2, b"\1."),
    ],
)
def test_millions_of_empty_parts_are_not_walked_through(kind: str, place: int, part: bytes) -> None:
    """As many as any real file has do no harm."""
    data = plain(kind)
    if kind == "GIF":
        data = data[:GIF_TABLES] + b"!\xfe\0" + data[GIF_TABLES:]
    few, many = (data[:place] + count * part + data[place:] for count in (MAX_PARTS // 2, 2 * MAX_PARTS))
    if kind == "WEBP":
        few, many = (item[:4] + (len(item) - 8).to_bytes(4, "little") + item[8:] for item in (few, many))
    assert (seen(few) == seen(data)).all()
    with pytest.raises(DamagedPicture):
        seen(many)


TIFF = b"MM\0*\0\0\0\x08"


@pytest.mark.parametrize(
    ("exif", "orientation"),
    [
        (ROTATED, 6),
        (b"Exif\0\0" + ROTATED, 6),
        (b"II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 1, 0x112, 3, 1, 8, 0), 8),
        (TIFF + struct.pack(">HHHIHH", 1, 0x112, 3, 1, 9, 0), 1),
        (TIFF + struct.pack(">HHHII", 1, 0x112, 4, 1, 6), 1),
        (TIFF + struct.pack(">HHHIHH", 0, 0x112, 3, 1, 6, 0), 1),
        (TIFF + b"\xff\xff", 1),
        (b"MM\0*\xff\xff\xff\xff", 1),
        (b"MM\0*", 1),
        (b"garbage", 1),
        (b"", 1),
    ],
)
def test_of_exif_only_a_sound_orientation_counts(exif: bytes, orientation: int) -> None:
    assert metadata.orientation(exif) == orientation


def line() -> Image.Image:
    """Draw what compresses to codes of one or two bits: what is missing there is easily made up by chance."""
    drawing = Image.new("RGB", (48, 32), "white")
    drawing.paste("black", (10, 0, 12, 32))
    return drawing


DRAWN = {"photograph": picture().resize((48, 32)), "line": line(), "grey": line().convert("L")}
ENCODED: dict[str, dict[str, Any]] = {
    "baseline": {},
    "without subsampling": {"subsampling": 0},
    "optimized, with restarts": {"optimize": True, "restart_marker_rows": 1},
    "progressive": {"progressive": True},
}


@pytest.mark.parametrize("encoded", ENCODED)
@pytest.mark.parametrize("drawn", DRAWN)
def test_a_jpeg_may_lack_its_end_marker_and_no_pixel(drawn: str, encoded: str) -> None:
    """Cut off at any place of the last kilobyte, it is read as it was or refused."""
    data = encode(DRAWN[drawn], **ENCODED[encoded])
    expected = seen(data)
    for missing in range(1, min(1024, len(data) - 600)):
        try:
            pixels = seen(data[:-missing])
        except DamagedPicture:
            assert missing > 2
        else:
            assert (pixels == expected).all(), missing
            assert missing <= 3


def scan(components: int, first: int = 1, last: int = 63) -> bytes:
    header = bytes([components, *(number for i in range(components) for number in (i + 1, 0)), first, last, 0x10])
    return b"\xff\xda" + (len(header) + 2).to_bytes(2, "big") + header


@pytest.mark.parametrize(
    ("progressive", "data"),
    [
        (True, scan(1) * 100_000 + b"\xff\xd9"),
        (True, b"\xff\xfe\0\x02" * 200_000 + scan(1) * 100_000 + b"\xff\xd9"),
        (False, scan(97, 0, 255) * 20_000),
        (False, b"\xff\xd0" * 5_000_000),
    ],
    ids=["empty scans", "behind many segments", "scans of many components", "restarts"],
)
def test_a_hostile_jpeg_costs_neither_time_nor_memory(progressive: bool, data: bytes) -> None:
    """Empty scans of ten bytes cost a decoder 3 ms each in the largest picture that is accepted."""
    file = encode(picture(), progressive=progressive)[:-2] + data
    began = time.process_time()
    tracemalloc.start()
    try:
        if progressive:
            with pytest.raises(DamagedPicture, match="more parts than any encoder writes"):
                seen(file)
        else:
            with contextlib.suppress(DamagedPicture):
                seen(file)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(file)
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 3


def test_a_hostile_bmp_costs_no_time() -> None:
    """Ten million runs of one pixel each, which Pillow would read one by one."""
    header = struct.pack("<IiiHHIIiiII", 40, 5000, 5000, 1, 8, 1, 0, 0, 0, 256, 0) + b"\0" * 1024
    began = time.process_time()
    with pytest.raises(DamagedPicture, match="run-length encoded BMP has at most"):
        seen(b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + b"\1\1" * 10_000_000)
    assert time.process_time() - began < 1
