"""Takes the metadata out of a picture file: what is left decides the pixels, and nothing else can fail on it.

Profiles, texts, comments, thumbnails and animations are worth nothing to the network, but Pillow parses them and gives
a picture up for a wrong checksum, a short block or a large text in them. Browsers show such pictures. Of all metadata
only Exif is read, and of that only the orientation.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator

from service.model.limits import MAX_PARTS

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF_PREFIX = b"Exif\0\0"
_ORIENTATION_TAG, _SHORT = 0x0112, 3


def strip(data: bytes) -> tuple[bytes, bytes]:
    """Return a PNG, WebP, GIF or AVIF file without its metadata, and its Exif block, empty where it has none.

    Damage is left in, for the decoder to find. Other files are returned as they are; for JPEG see `jpeg`.
    """
    if data.startswith(PNG_SIGNATURE):
        return _strip_png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _strip_webp(data)
    if data.startswith(b"GIF8"):
        return _strip_gif(data), b""
    if data[4:8] == b"ftyp":
        # AVIF's orientation is a property of the picture (irot, imir); its Exif does not count. Renamed, the item is
        # nothing that a decoder looks for. An entry: its name, its version, two or four bytes of number, and two more.
        return re.sub(rb"(infe[\2\3].{7}(?:..)?)Exif", rb"\1none", data, flags=re.DOTALL), b""
    return data, b""


def orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, that an Exif block (a small TIFF file) gives; 1 where it gives none."""
    tiff = exif.removeprefix(_EXIF_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    with contextlib.suppress(struct.error):  # cut off, or no TIFF file at all
        if order:
            (start,) = struct.unpack_from(f"{order}I", tiff, 4)
            (entries,) = struct.unpack_from(f"{order}H", tiff, start)
            for place in range(start + 2, start + 2 + 12 * entries, 12):
                tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, place)
                if (tag, kind, count) == (_ORIENTATION_TAG, _SHORT, 1) and 1 <= value <= 8:
                    return int(value)
    return 1


def _strip_png(data: bytes) -> tuple[bytes, bytes]:
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    header = exif = b""
    seen: set[bytes] = set()
    for kind, body, chunk in _png_chunks(data):
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            header = header or bytes(body)
            kept.append(chunk)
        elif zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            continue
        elif kind == b"eXIf":
            exif = exif or bytes(body)
        elif kind == b"tRNS" and seen.isdisjoint((b"tRNS", b"IDAT")):
            kept.append(_transparency(header, bytes(body), b"PLTE" in seen))
        seen.add(kind)
    return b"".join(kept), exif


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yield (type, content, whole chunk) up to IEND, at most MAX_PARTS; the last may be cut off."""
    view, position = memoryview(data), 8
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        yield kind, view[position + 8 : end - 4], view[position:end]
        if kind == b"IEND":
            return
        position = end


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + zlib.crc32(kind + body).to_bytes(4, "big")


def _transparency(header: bytes, body: bytes, has_palette: bool) -> bytes:
    """Return a tRNS chunk as Pillow understands it, or nothing where it is wrong.

    Pillow compares the transparent colour with samples that it has brought to 8 bits, except 16-bit grey. Of 16-bit RGB
    the upper bytes alone can be compared so.
    """
    if len(header) < 13:
        return b""
    depth, colour_type = header[8:10]
    samples = {0: 1, 2: 3}.get(colour_type, 0)  # grey, RGB
    if colour_type == 3:  # a palette: alpha values
        return _png_chunk(b"tRNS", body[:256]) if body and has_palette else b""
    if not samples or len(body) < 2 * samples:
        return b""
    colour = [value & (1 << depth) - 1 for value in struct.unpack_from(f">{samples}H", body)]
    if colour_type == 2 and depth == 16:
        colour = [value >> 8 for value in colour]
    elif depth in (2, 4):
        colour = [value * 255 // ((1 << depth) - 1) for value in colour]
    return _png_chunk(b"tRNS", struct.pack(f">{samples}H", *colour))


def _strip_webp(data: bytes) -> tuple[bytes, bytes]:
    view, kept, exif, position = memoryview(data), [], b"", 12
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for _ in range(MAX_PARTS):
        if position + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        following = position + 8 + length + length % 2
        if kind in (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"):
            kept.append(view[position:following])
        elif kind == b"EXIF":
            exif = exif or data[position + 8 : position + 8 + length]
        position = following
    pixels = b"".join(kept)
    return b"RIFF" + (4 + len(pixels)).to_bytes(4, "little") + b"WEBP" + pixels, exif


def _strip_gif(data: bytes) -> bytes:
    """Leave out all extensions before the first frame, but for its transparency."""
    if len(data) < 13:
        return data
    tables = position = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    control, blocks = b"", MAX_PARTS
    while blocks > 0 and data[position : position + 1] == b"!":
        start, position, blocks = position, position + 2, blocks - 1
        while blocks > 0 and position < len(data) and data[position]:
            position, blocks = position + 1 + data[position], blocks - 1
        position += 1
        if data[start + 1 : start + 3] == b"\xf9\x04":
            control = data[start : start + 7] + b"\0"
    return data[:tables] + control + (data[position:] if blocks > 0 else b"")
