"""What one picture may cost; without Pillow, for whoever only reads settings."""

from __future__ import annotations

from dataclasses import dataclass

# What libjpeg opens at most, 65,500 pixels in each direction; no format that is read has more.
MAX_PIXELS = 65_500 * 65_500

# Segments, chunks or blocks of one file that are looked at. One of 20 MB has some thousands; a hostile one has millions
# of empty ones, which would take seconds.
MAX_PARTS = 100_000


@dataclass(frozen=True)
class Limits:
    """Limits of one picture.

    Attributes:
        max_pixels: width times height, as its header says; bounds time.
        max_decoded_pixels: held while decoding; bounds memory.
    """

    # Phones of "200 megapixels" make 16,384 x 12,288 = 201 million; the emptiest JPEG of that size takes 0.2 s.
    max_pixels: int = 210_000_000
    max_decoded_pixels: int = 25_000_000
