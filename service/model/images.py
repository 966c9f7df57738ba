"""The bytes of a picture file become the square of pixels that the network sees.

Owns everything that Pillow can do to us: which formats are accepted, limits, colour modes, EXIF orientation, resize and
crop. Knows nothing of networks and nothing of HTTP; its errors say what is wrong with the picture.

The geometry is that of torchvision's classification preset (`Resize(resize)`, then `CenterCrop(crop)`, bilinear or
bicubic with antialiasing), done in one step: Pillow resamples only the part that survives the crop.
"""

from __future__ import annotations

import io
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from service.errors import DamagedPicture, EmptyBody, Problem, TooManyPixels, UnsupportedFormat
from service.model import jpeg, metadata
from service.model.formats import FORMATS, FORMATS_TEXT, described, is_readable
from service.model.limits import Limits
from service.model.pixel_budget import PixelBudget

Pixels = npt.NDArray[np.uint8]  # [H, W, 3], RGB

# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as the short side keeps this many times the resize target.
# At 2.8 the crop differs by 0.1 to 0.6 grey levels from that of a full decode (43 wallpapers of 2 to 18 megapixels); at
# 1.4 it is no more than a third faster, and differs by up to 1.6.
_SCALED_DECODE_MARGIN = 2.8

# Pillow decodes run lengths of BMP in Python, two bytes at a time: 0.7 s for a million, during which all else waits.
_MAX_RUN_LENGTH_BYTES = 2_000_000
_RUN_LENGTHS = (b"\1\0\0\0", b"\2\0\0\0")  # of 8 and of 4 bits

# EXIF orientation -> (the stored picture is transposed, mirrored in x, mirrored in y), as seen in the stored frame.
_ORIENTATIONS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

# All pictures in decoding together hold no more than this: two of the largest by default, or 250 of the usual 500x375.
# One number for any machine, as the container's memory is (container/run.flags). A larger one is decoded alone.
DECODING_PIXELS = 50_000_000
BYTES_PER_PIXEL = 16  # at most, while it is decoded: WebP; others 4 to 9
_budget = PixelBudget(DECODING_PIXELS)


def configure_pillow() -> None:
    """Set what Pillow has one of for the whole process; called once by whoever reads strangers' pictures."""
    # Its own limit would stand in the way of larger ones; those of `Limits` are checked before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None
    # Pillow warns of damaged metadata in pictures that it reads all the same; a client must not fill our log so.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")


@dataclass(frozen=True)
class Geometry:
    """What the network sees: the short side scaled to `resize` pixels, then the central square of `crop` pixels.

    `interpolation` is one of bundle.INTERPOLATIONS.
    """

    resize: int = 256
    crop: int = 224
    interpolation: str = "bilinear"


def load(data: bytes, geometry: Geometry, limits: Limits) -> Pixels:
    """Decode a picture file, upright and over white, to what the network sees.

    Args:
        data: a whole JPEG, PNG, WebP, GIF (first frame), BMP or AVIF file.
        geometry: the resize and crop of the network.
        limits: the largest picture to accept.

    Returns:
        uint8 [crop, crop, 3], RGB, contiguous.

    Raises:
        EmptyBody: `data` is empty.
        UnsupportedFormat: no file of an accepted format.
        TooManyPixels: the header announces more than a limit.
        DamagedPicture: the format is accepted, the content cannot be decoded.
    """
    if not data:
        raise EmptyBody(f"The picture has 0 bytes. Send a {FORMATS_TEXT} file.")
    try:
        return _load(data, geometry, limits)
    except Problem:
        raise
    except UnidentifiedImageError:
        if is_readable(data):
            raise DamagedPicture(_damaged(len(data), "its header cannot be read")) from None
        raise UnsupportedFormat(f"These {len(data)} bytes are {described(data)}. Send a {FORMATS_TEXT} file.") from None
    except Exception as error:
        # Any exception at all: damaged files make Pillow's decoders raise OSError, SyntaxError, ValueError, IndexError,
        # KeyError, struct.error, OverflowError, MemoryError and more, and none of them may become a 500.
        raise DamagedPicture(_damaged(len(data), str(error) or type(error).__name__)) from None


def _damaged(size: int, reason: str) -> str:
    return f"The picture of {size} bytes cannot be decoded: {reason}. Export it again, or send another."


def _too_many(width: int, height: int, limit: int) -> str:
    return f"The picture has {width} x {height} pixels, more than the {limit} that are accepted. Send it smaller."


def _load(data: bytes, geometry: Geometry, limits: Limits) -> Pixels:
    if data[:2] == b"BM" and data[30:34] in _RUN_LENGTHS and len(data) > _MAX_RUN_LENGTH_BYTES:
        raise DamagedPicture(
            _damaged(len(data), f"run-length encoded BMP has at most {_MAX_RUN_LENGTH_BYTES} bytes here")
        )
    if not data.startswith(jpeg.START):
        file, exif = metadata.strip(data)
        return _open(file, exif, geometry, limits)[0]
    head = jpeg.head(data)
    if head is None:
        raise DamagedPicture(_damaged(len(data), "its header cannot be read"))
    if jpeg.holds_all_pixels(head) and not jpeg.has_few_scans(data, head):
        raise DamagedPicture(_damaged(len(data), "it comes in more parts than any encoder writes"))
    ends = jpeg.endings(data, head)
    decoded = [
        _open(head.segments, head.exif, geometry, limits, head=head, whole=data + end, compare=len(ends) > 1)
        for end in ends
    ]
    if len({checksum for _, checksum in decoded}) > 1:
        raise DamagedPicture(_damaged(len(data), "it is cut off, pixels are missing"))
    return decoded[0][0]


def _open(
    file: bytes,
    exif: bytes,
    geometry: Geometry,
    limits: Limits,
    *,
    head: jpeg.Head | None = None,
    whole: bytes = b"",
    compare: bool = False,
) -> tuple[Pixels, int | None]:
    """Return what the network sees, and where asked for, a checksum of all decoded pixels.

    Of a JPEG Pillow opens the head without metadata; its decoder gets the `whole` file, since it skips them by itself
    and a copy would take a phone's picture 4 % longer.
    """
    with Image.open(io.BytesIO(file), formats=FORMATS) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise ValueError(f"its size is {width} x {height}")
        if width * height > limits.max_pixels:
            raise TooManyPixels(_too_many(width, height, limits.max_pixels))

        scale = 1.0
        held = width * height
        if head:
            wanted = int(_SCALED_DECODE_MARGIN * geometry.resize)
            if (drafted := image.draft(image.mode, (wanted, wanted))) is not None:
                scale = drafted[1][2] / width
            image.fp = io.BytesIO(whole)
            # One call into the decoder, so that the GIL is taken back once, not after every 64 KiB.
            image.decodermaxblock = len(whole)
            if not jpeg.holds_all_pixels(head):
                held = image.size[0] * image.size[1]
        if held > limits.max_decoded_pixels:
            raise TooManyPixels(
                _too_many(width, height, limits.max_decoded_pixels)
                + " Baseline JPEGs may be larger than other formats."
            )
        with _budget.hold(held):
            drawn = image.tile[0][1] if image.format == "GIF" else None
            image.load()
            # AVIF's orientation is no metadata; Pillow gives it as Exif.
            orientation = metadata.orientation(image.info.get("exif", exif))
            pixels = _cut(_on_screen(image, drawn), orientation, scale, (width, height), geometry)
            return pixels, _checksum(image) if compare else None


def _on_screen(image: Image.Image, drawn: tuple[int, int, int, int] | None) -> Image.Image:
    """Make what the first frame of a GIF leaves out of its screen transparent; Pillow makes it the first colour."""
    if drawn is None or drawn == (0, 0, *image.size):
        return image
    screen = Image.new("RGBA", image.size)
    screen.paste(image.crop(drawn).convert("RGBA"), drawn)
    return screen


def _checksum(image: Image.Image) -> int:
    checksum, strip = 0, 64  # rows: as bytes, a whole picture would take its memory twice
    for top in range(0, image.height, strip):
        checksum = zlib.crc32(image.crop((0, top, image.width, min(top + strip, image.height))).tobytes(), checksum)
    return checksum


def _cut(image: Image.Image, orientation: int, scale: float, size: tuple[int, int], geometry: Geometry) -> Pixels:
    """Cut what the network sees out of a loaded image; `scale` is how much smaller than its `size` it was decoded."""
    width, height = size
    transposed, mirrored_x, mirrored_y = _ORIENTATIONS[orientation]
    upright = (height, width) if transposed else (width, height)
    left, top, ratio = _crop_window(upright, geometry)
    crop = geometry.crop
    # The window is computed upright, where torchvision rounds it, and cut out of the picture as it is stored.
    if transposed:
        left, top, ratio = top, left, (ratio[1], ratio[0])
    if mirrored_x:
        left = width * ratio[0] - crop - left
    if mirrored_y:
        top = height * ratio[1] - crop - top
    to_stored = (scale / ratio[0], scale / ratio[1])
    box = (
        max(0.0, left * to_stored[0]),
        max(0.0, top * to_stored[1]),
        min(float(image.size[0]), (left + crop) * to_stored[0]),
        min(float(image.size[1]), (top + crop) * to_stored[1]),
    )
    pixels = _to_rgb(image, box, crop, Image.Resampling[geometry.interpolation.upper()])  # [crop, crop, 3]
    if mirrored_x:
        pixels = pixels[:, ::-1]
    if mirrored_y:
        pixels = pixels[::-1]
    if transposed:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels)


def _crop_window(size: tuple[int, int], geometry: Geometry) -> tuple[float, float, tuple[float, float]]:
    """Return the crop's left and top in the resized picture, and the ratio resized / original in x and y.

    torchvision rounds the resized long side down and the margins half to even; so does this.
    """
    width, height = size
    short = min(width, height)
    resized = (int(geometry.resize * width / short), int(geometry.resize * height / short))
    left = round((resized[0] - geometry.crop) / 2)
    top = round((resized[1] - geometry.crop) / 2)
    return left, top, (resized[0] / width, resized[1] / height)


def _to_rgb(
    image: Image.Image, box: tuple[float, float, float, float], size: int, resampling: Image.Resampling
) -> Pixels:
    """Cut `box` out of a loaded image, resampled to `size` x `size`, as RGB over white: uint8 [size, size, 3]."""
    if image.mode == "I;16" and "transparency" in image.info:
        samples = np.asarray(image)  # [H, W], uint16
        visible = (samples != image.info["transparency"]) * np.uint8(255)
        image = Image.merge("LA", (Image.fromarray((samples >> 8).astype(np.uint8)), Image.fromarray(visible)))
    if image.mode in ("PA", "LA", "La", "RGBa") or (
        "transparency" in image.info and image.mode in ("1", "L", "P", "RGB")
    ):
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "RGBA", "I;16", "I", "F"):
        image = image.convert("RGB")
    # What can be resampled as it is (RGBA with its colours weighed by alpha) is made RGB when it is small and costs
    # nothing.
    small = image.resize((size, size), resampling, box=box)
    if small.mode in ("I;16", "I", "F"):
        # Pillow's own conversion of 16-bit grey would cut everything above 255 to white.
        samples = np.clip(np.asarray(small, dtype=np.float32), 0, 65535)
        small = Image.fromarray((samples / 257 + 0.5).astype(np.uint8))
    if small.mode == "RGBA":
        white = Image.new("RGBA", small.size, (255, 255, 255, 255))
        small = Image.alpha_composite(white, small)
    return np.array(small.convert("RGB"))
