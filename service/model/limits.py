"""What one picture may cost; without Pillow, for whoever only reads settings."""

from __future__ import annotations

from dataclasses import dataclass

# What libjpeg opens at most, 65,500 pixels in each direction; no format that is read has more.
MAX_PIXELS = 65_500 * 65_500


@dataclass(frozen=True)
class Limits:
    """Limits of one picture.

    Attributes:
        max_pixels: width times height, as its header says; bounds time.
        max_decoded_pixels: held while decoding; bounds memory.
    """

    # Phones of "64 megapixels" make 64.1 million, those of "50" up to 50.4.
    max_pixels: int = 70_000_000
    max_decoded_pixels: int = 25_000_000
