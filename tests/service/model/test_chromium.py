"""What a browser shows, the service reads, and sees the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from service.errors import Problem
from service.model.images import Geometry, Pixels, load
from service.model.limits import Limits
from tests.service.model import chromium, odd_pictures, rare_pictures

GEOMETRY = Geometry(32, 32)
GREY_LEVELS = 0.5  # of mean difference: decoders round differently

# Where the service sees a picture otherwise than Chromium, on purpose (docs/decisions.md).
_PROFILE = "Chromium converts colour profiles, the service leaves them out, as torchvision's preset does"
OTHERWISE = {
    "icc_adobe.png": _PROFILE,
    "icc_p3.png": _PROFILE,
    "icc_prophoto.png": _PROFILE,
    "no_eoi.jpg": "Chromium leaves out the last rows of a JPEG without an end marker, though they are there",
    "minus100.jpg": "Chromium shows what there is of a picture that was cut off, the service refuses it",
    "orientation6.webp": "Chromium ignores Exif in WebP",
    "PNG, rotated after the pixels": "Chromium ignores Exif there",
    "JPEG: the end missing": "as no_eoi.jpg",
    "JPEG: half the end missing": "as no_eoi.jpg",
    "WEBP: a comment cut off": "Chromium shows an empty picture",
    "WEBP: more announced than there is": "Chromium shows an empty picture",
}
# What neither shows: SVG, HEIC, TIFF, and anything in front of a picture.
REFUSED_BY_BOTH = {"drawing.svg", "iphone.heic", "scan.tif", "leading_bom.jpg", "leading_newline.jpg"}


def seen(data: bytes) -> Pixels | None:
    try:
        return load(data, GEOMETRY, Limits())
    except Problem:
        return None


def disagreements(browser: Browser, pictures: dict[str, bytes]) -> dict[str, str]:
    found = {}
    for (name, data), shown in zip(pictures.items(), chromium.show(browser, list(pictures.values())), strict=True):
        expected, ours = None if shown is None else seen(shown), seen(data)
        if expected is None or ours is None:
            if (expected is None) != (ours is None):
                found[name] = f"shown: {expected is not None}, read: {ours is not None}"
        elif (difference := np.abs(ours.astype(int) - expected).mean()) > GREY_LEVELS:
            found[name] = f"{difference:.1f} grey levels apart"
    return found


def test_reported_pictures_are_read_as_chromium_shows_them(browser: Browser, shared_data: Path) -> None:
    files = {file.name: file.read_bytes() for file in sorted((shared_data / "reports" / "pictures").iterdir())}
    assert disagreements(browser, files).keys() == OTHERWISE.keys() & files.keys()
    assert {name for name, data in files.items() if seen(data) is None} == REFUSED_BY_BOTH | {"minus100.jpg"}


def test_rare_kinds_are_read_as_chromium_shows_them(browser: Browser) -> None:
    pictures = rare_pictures.rare()
    assert disagreements(browser, pictures).keys() == OTHERWISE.keys() & pictures.keys()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_pictures_with_bad_metadata_are_read_wherever_chromium_shows_them(browser: Browser, kind: str) -> None:
    pictures = {name: data for name, data in odd_pictures.sound().items() if name.startswith(kind)}
    found = disagreements(browser, pictures)
    read_by_us_alone = {name for name in found if found[name] == "shown: False, read: True"}
    assert found.keys() - read_by_us_alone == OTHERWISE.keys() & pictures.keys()
