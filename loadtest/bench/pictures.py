"""The pictures that are sent: a small JPEG, a phone's photograph, a PNG; all from one real photograph."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SMALL = (500, 375)
LARGE = (4000, 3000)  # 12 megapixels
_SENSOR_NOISE = 4  # grey levels, standard deviation


def photograph() -> Image.Image:
    """Return the photograph of 640 x 427 pixels that scikit-learn ships, the Summer Palace in Peking."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ImportError("scikit-learn is not installed")
    # Its file, because importing the package takes a second.
    with Image.open(Path(spec.origin).parent / "datasets" / "images" / "china.jpg") as picture:
        return picture.convert("RGB")


def make(photograph_size: tuple[int, int] = LARGE) -> dict[str, bytes]:
    """Return the pictures by name; `photograph_size` is the large one's, in pixels."""
    photo = photograph()
    return {
        "small": encode(photo.resize(SMALL, Image.Resampling.LANCZOS), "JPEG", quality=95),
        "large": encode(_camera(photo, photograph_size), "JPEG", quality=85),
        "png": encode(photo.resize((1000, 750), Image.Resampling.LANCZOS), "PNG"),
    }


def _camera(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Enlarge a photograph and add a sensor's noise: what a phone's full-size picture looks like to a decoder."""
    pixels = np.asarray(photo.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, _SENSOR_NOISE, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def encode(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    """Return a picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()
