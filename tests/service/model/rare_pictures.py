"""Sound pictures of rare kinds, which must look as in a browser: transparency, bit depths, frames, headers."""

from __future__ import annotations

import functools
import struct
import zlib

from PIL import Image

from tests.conftest import encode
from tests.service.model.odd_pictures import ROTATED, chunk, jpeg, picture, plain, png, segment


def raw_png(depth: int, colour_type: int, *between: bytes, channels: int = 1) -> bytes:
    """Write a PNG file of 32 x 32 pixels whose samples run through all values of their depth, upper bytes included."""
    side, top = 32, (1 << depth) - 1
    rows = b""
    for y in range(side):
        values = [(x * top // (side - 1) + channel * y * 257) & top for x in range(side) for channel in range(channels)]
        bits = "".join(f"{value:0{depth}b}" for value in values)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", side, side, depth, colour_type, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), *between, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _transparent() -> dict[str, bytes]:
    """Give transparency in every bit depth, as one colour and as a palette's alpha values."""
    found = {"wrong checksum": raw_png(8, 0, chunk(b"tRNS", b"\0\0", crc=1))}
    for depth in (1, 2, 4, 8, 16):
        top = (1 << depth) - 1
        for name, value in {"black": 0, "a middle": 16 * top // 31, "white": top, "unused bits": 0xFFFF}.items():
            found[f"{depth}-bit grey, {name}"] = raw_png(depth, 0, chunk(b"tRNS", struct.pack(">H", value)))
        found[f"{depth}-bit grey, cut short"] = raw_png(depth, 0, chunk(b"tRNS", b"\0"))
    for depth in (1, 2, 4):
        palette = chunk(b"PLTE", bytes(range(3 << depth)))
        for name, alpha in {"none": b"", "one": b"\0", "two": b"\x80\xff", "too many": bytes(200)}.items():
            found[f"{depth}-bit palette, {name}"] = raw_png(depth, 3, palette, chunk(b"tRNS", alpha))
            found[f"{depth}-bit palette, {name}, in front"] = raw_png(depth, 3, chunk(b"tRNS", alpha), palette)
    for depth in (8, 16):
        colour = [x * 255 // 31 * (257 if depth == 16 else 1) for x in (16, 16, 16)]
        found[f"{depth}-bit RGB"] = raw_png(depth, 2, chunk(b"tRNS", struct.pack(">HHH", *colour)), channels=3)
        found[f"{depth}-bit grey and alpha"] = raw_png(depth, 4, channels=2)
        found[f"{depth}-bit RGB and alpha"] = raw_png(depth, 6, channels=4)
    return found


def _gif(screen: tuple[int, int], place: tuple[int, int], **options: int) -> bytes:
    """Write a GIF file with a frame of 40 x 40 pixels at a place on its screen."""
    data = bytearray(encode(picture().resize((40, 40)).convert("P"), "GIF", **options))
    data[6:10] = struct.pack("<HH", *screen)
    frame = data.index(b",\0\0\0\0") + 1
    data[frame : frame + 4] = struct.pack("<HH", *place)
    return bytes(data)


def _bmp(header_size: int) -> bytes:
    data = plain("BMP")
    core = struct.pack("<IHHHH", 12, *picture().size, 1, 24)
    header = core if header_size == 12 else struct.pack("<I", header_size) + data[18:54] + bytes(header_size - 40)
    return data[:10] + struct.pack("<I", 14 + header_size) + header + data[54:]


@functools.cache
def rare() -> dict[str, bytes]:
    """Return the pictures by their kinds."""
    rgb, exif = picture(), b"Exif\0\0" + ROTATED
    without_jfif = plain("JPEG")[:2] + plain("JPEG")[20:]
    return {
        **{f"PNG, transparency: {name}": data for name, data in _transparent().items()},
        "PNG, rotated": png(chunk(b"eXIf", ROTATED)),
        "PNG, rotated after the pixels": png(after=chunk(b"eXIf", ROTATED)),
        "PNG, gamma 1": png(
            chunk(b"gAMA", struct.pack(">I", 100_000)),
            chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        ),
        "JPEG, rotated": jpeg(segment(0xE1, exif)),
        "JPEG, rotated by the first of two": jpeg(segment(0xE1, exif), segment(0xE1, exif.replace(b"\6", b"\3"))),
        "JPEG, rotated, but the orientation cut off": jpeg(segment(0xE1, exif[:34])),
        "JPEG, rotated by XMP alone": jpeg(segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')),
        "JPEG, CMYK": encode(rgb.convert("CMYK"), quality=95),
        "JPEG, without JFIF": without_jfif,
        **{
            f"JPEG, Adobe's transform {transform}": jpeg(
                segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform])), data=without_jfif
            )
            for transform in range(3)
        },
        **{f"BMP, mode {mode}": encode(rgb.convert(mode), "BMP") for mode in ("1", "L", "P")},
        **{f"BMP, header of {size} bytes": _bmp(size) for size in (12, 52, 56, 64, 108, 124)},
        "BMP, top down": plain("BMP")[:22] + struct.pack("<i", -rgb.height) + plain("BMP")[26:],
        "GIF, a frame smaller than its screen": _gif((64, 64), (10, 10)),
        "GIF, a frame smaller than its screen, transparent": _gif((64, 64), (10, 10), transparency=3),
        "GIF, a frame beyond its screen": _gif((30, 30), (10, 10)),
        "GIF, no screen": _gif((0, 0), (0, 0)),
        "GIF, interlaced": encode(rgb.convert("P"), "GIF", interlace=1),
        "WEBP, lossless with alpha": encode(Image.merge("RGBA", (*rgb.split(), rgb.split()[0])), "WEBP", lossless=True),
        "AVIF, grey": encode(rgb.convert("L"), "AVIF", quality=95),
        "AVIF, limited range": encode(rgb, "AVIF", quality=95, range="limited"),
    }
