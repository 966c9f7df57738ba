"""The pictures that are sent: generated ones that cost a decoder what photographs cost, or a folder of one's own.

Generated pictures are noise whose amplitude falls with the frequency as 1/f, as natural scenes' does (Field 1987,
"Relations between the statistics of natural images and the response properties of cortical cells"), so that their JPEGs
are about as large, and as slow to decode, as photographs of their size. What a classifier says of them means nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from loadtest.errors import LoadTestError
from loadtest.plan.mix import BAD, PHONE, PNG, SMALL

Say = Callable[[str], None]

_SMALL_SIZE, _PHONE_SIZE, _PNG_SIZE = (500, 375), (4000, 3000), (1000, 750)
_SMALL_COUNT, _PHONE_COUNT, _PNG_COUNT = 8, 2, 2
# So that the small ones weigh 110 KB, as 200 photographs of ImageNet do in the mean (108 KB), and everything decodes in
# the time of a photograph of its size: small 2.1 ms (against 2.0), phone 25 ms (21), PNG 20 ms (19), on one core.
_CONTRAST, _SENSOR_NOISE = 46.0, 4.0
# From here on a picture of one's own counts as a phone's.
_PHONE_PIXELS = 3_000_000
_MOST_BYTES = 20_000_000  # what the service takes by default
_MOST_FILES = 500


@dataclass(frozen=True)
class Picture:
    """A file as it is sent."""

    name: str
    data: bytes
    media_type: str


Stock = dict[str, list[Picture]]  # by picture kind: small, phone, png, bad


def generate(request_kinds: set[str], seed: int = 0) -> Stock:
    """Make the pictures for `request_kinds`; the phone's take about a second each."""
    chance = np.random.default_rng(seed)
    stock: Stock = {SMALL: [_jpeg(f"small-{n}.jpg", _scene(_SMALL_SIZE, chance), 90) for n in range(_SMALL_COUNT)]}
    if PHONE in request_kinds:
        stock[PHONE] = [_jpeg(f"phone-{n}.jpg", _photo(chance), 85) for n in range(_PHONE_COUNT)]
    if PNG in request_kinds:
        stock[PNG] = [_png(f"screen-{n}.png", _scene(_PNG_SIZE, chance)) for n in range(_PNG_COUNT)]
    stock[BAD] = _bad(stock[SMALL][0].data)
    return stock


def from_folder(folder: Path, say: Say = lambda _: None) -> Stock:
    """Read a folder's pictures, at most 500: PNGs, phone photos (from 3 megapixels), and small ones.

    Raises:
        LoadTestError: the folder cannot be read, or holds no picture that is small or large enough for a kind.
    """
    if not folder.is_dir():
        raise LoadTestError(f"--pictures {folder}: there is no such folder.")
    stock: Stock = {}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    skipped = max(0, len(files) - _MOST_FILES)
    for path in files[:_MOST_FILES]:
        picture = _read(path)
        if picture is None:
            skipped += 1
        else:
            stock.setdefault(picture[0], []).append(picture[1])
    if not stock:
        raise LoadTestError(f"--pictures {folder}: none of its {len(files)} files is a picture of up to 20 MB.")
    if skipped:
        say(
            f"{folder}: {skipped} of {len(files)} files are left out: no pictures, over 20 MB, or beyond {_MOST_FILES}."
        )
    stock.setdefault(SMALL, next(iter(stock.values())))
    stock[BAD] = _bad(stock[SMALL][0].data)
    return stock


def describe(stock: Stock) -> dict[str, dict[str, float]]:
    """Return for each picture kind how many pictures there are and how large they are, in bytes, in the mean."""
    return {
        picture_kind: {"count": len(pictures), "mean_bytes": round(sum(len(p.data) for p in pictures) / len(pictures))}
        for picture_kind, pictures in stock.items()
    }


def _read(path: Path) -> tuple[str, Picture] | None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as picture:  # reads the header only
            format_name, (width, height) = picture.format or "", picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    media_type = Image.MIME.get(format_name, "application/octet-stream")
    picture_kind = PNG if format_name == "PNG" else PHONE if width * height >= _PHONE_PIXELS else SMALL
    return picture_kind, Picture(path.name, data, media_type)


def _scene(size: tuple[int, int], chance: np.random.Generator) -> Image.Image:
    """Return 1/f noise in colour: shared brightness, weaker and smoother colours."""
    width, height = size
    across = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None, :] * width)  # [H, W/2+1]
    across[0, 0] = 1.0

    def plane(steepness: float) -> npt.NDArray[np.float64]:
        noise = np.fft.rfft2(chance.standard_normal((height, width)))
        values: npt.NDArray[np.float64] = np.fft.irfft2(noise / across**steepness, (height, width))
        values -= values.mean()
        values /= values.std()
        return values

    luma = plane(1.0)
    pixels = 118 + _CONTRAST * np.stack([luma + 0.35 * plane(1.5) for _ in range(3)], axis=-1)  # [H, W, 3]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _photo(chance: np.random.Generator) -> Image.Image:
    """Return 12 megapixels: an enlarged scene with a sensor's noise, which is what a phone's file mostly holds."""
    scene = _scene((_PHONE_SIZE[0] // 4, _PHONE_SIZE[1] // 4), chance)
    pixels = np.asarray(scene.resize(_PHONE_SIZE, Image.Resampling.BICUBIC), dtype=np.float32)
    noisy = chance.standard_normal(pixels.shape, dtype=np.float32)
    # In place: each copy of 36 million values takes a third of a second.
    noisy *= _SENSOR_NOISE
    noisy += pixels
    return Image.fromarray(np.clip(noisy, 0, 255, out=noisy).astype(np.uint8))


def _jpeg(name: str, picture: Image.Image, quality: int) -> Picture:
    return Picture(name, _encode(picture, "JPEG", quality=quality), "image/jpeg")


def _png(name: str, picture: Image.Image) -> Picture:
    return Picture(name, _encode(picture, "PNG", compress_level=3), "image/png")


def _encode(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def _bad(good: bytes) -> list[Picture]:
    """Return what people send by mistake: a text, a web page saved as a picture, half a picture, nothing much."""
    return [
        Picture("notes.txt", b"Buy milk.\n" * 20, "text/plain"),
        Picture("photo.jpg", b"<!doctype html><title>404 Not Found</title>" + b" " * 500, "image/jpeg"),
        Picture("half.jpg", good[: max(64, len(good) // 50)], "image/jpeg"),
        Picture("header.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 64, "image/png"),
    ]
