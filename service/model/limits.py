"""What one picture may cost; without Pillow, for whoever only reads settings."""

from __future__ import annotations

from dataclasses import dataclass

# Pillow's own bound against decompression bombs (Image.MAX_IMAGE_PIXELS); a limit above it would have no effect.
PILLOW_MAX_PIXELS = 89_478_485


@dataclass(frozen=True)
class Limits:
    """Limits of one picture.

    Attributes:
        max_pixels: width times height, as its header says; bounds time.
        max_decoded_pixels: held while decoding; bounds memory.
    """

    max_pixels: int = 50_000_000
    max_decoded_pixels: int = 25_000_000
