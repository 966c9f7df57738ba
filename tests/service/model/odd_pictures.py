"""Pictures whose pixels are sound and whose metadata are not, of every format that is read: a table of such faults."""

from __future__ import annotations

import functools
import struct
import zlib

from PIL import Image

from tests.conftest import encode, photo

SIZE = (96, 64)
_GARBAGE = bytes(range(7, 255, 3))

# A TIFF file of two entries: a text whose place lies outside of the file, and the orientation 6.
ROTATED = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIIHHIHHI", 2, 0x10F, 2, 999, 0x7FFFFFF0, 0x112, 3, 1, 6, 0, 0)


@functools.cache
def picture() -> Image.Image:
    return photo("flower.jpg").resize(SIZE)


@functools.cache
def plain(kind: str) -> bytes:
    options = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}, "AVIF": {"quality": 95}}.get(kind, {})
    return encode(picture(), kind, **options)


def chunk(kind: bytes, body: bytes, *, crc: int | None = None, length: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I4s", len(body) if length is None else length, kind) + body + struct.pack(">I", checksum)


def png(*before: bytes, after: bytes = b"", data: bytes | None = None) -> bytes:
    """Insert chunks before and after the pixels of a PNG file."""
    data = plain("PNG") if data is None else data
    return data[:33] + b"".join(before) + data[33:-12] + after + data[-12:]


def segment(marker: int, body: bytes, *, length: int | None = None) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2 if length is None else length) + body


def jpeg(*segments: bytes, data: bytes | None = None) -> bytes:
    data = plain("JPEG") if data is None else data
    return data[:2] + b"".join(segments) + data[2:]


def webp(*after: tuple[bytes, bytes], grow: int = 0, **options: bytes) -> bytes:
    """Append chunks to an extended WebP file; `grow` is added to the length in its head."""
    data = encode(picture(), "WEBP", quality=95, **(options or {"icc_profile": _GARBAGE}))
    data += b"".join(kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for kind, body in after)
    return data[:4] + struct.pack("<I", len(data) - 8 + grow) + data[8:]


def gif(*extensions: bytes) -> bytes:
    data = plain("GIF")
    tables = 13 + (3 << (data[10] & 7) + 1)
    return data[:tables] + b"".join(b"!" + extension + b"\0" for extension in extensions) + data[tables:]


_TEXT = b"key\0\0" + zlib.compress(b"text")
_BOMB = b"key\0\0" + zlib.compress(bytes(3_000_000), 9)
_FRAME = struct.pack(">IIIIIHHBB", 0, *SIZE, 0, 0, 1, 10, 0, 0)


def _pngs() -> dict[str, bytes]:
    found = {}
    kinds = "tEXt zTXt iTXt iCCP eXIf pHYs sBIT bKGD hIST tIME sPLT acTL fcTL oFFs cICP prVt"
    for kind in map(str.encode, kinds.split()):
        faults = {
            "empty": chunk(kind, b""),
            "garbage": chunk(kind, _GARBAGE),
            "wrong checksum": chunk(kind, _TEXT, crc=1),
            "twice": 2 * chunk(kind, _TEXT),
            "large": chunk(kind, _BOMB),
        }
        for fault, body in faults.items():
            found[f"{kind.decode()} {fault}"] = png(body)
            found[f"{kind.decode()} {fault}, after the pixels"] = png(after=body)
    data = plain("PNG")
    return found | {
        "frames out of order": png(chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", b"\0\0\0\7" + _FRAME[4:])),
        "a frame larger than the picture": png(
            chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", _FRAME[:4] + b"\0\0\1\0" + _FRAME[8:])
        ),
        "a text cut off after the pixels": data[:-12] + chunk(b"tEXt", _TEXT)[:-9],
        "the end missing": data[:-12],
        "garbage after the end": data + _GARBAGE,
        "garbage instead of the end": data[:-12] + _GARBAGE,
    }


def _jpegs() -> dict[str, bytes]:
    known = {
        0xE0: ("JFIF\0", "JFXX\0"),
        0xE1: ("Exif\0\0", "Exif\0\0MM\0*", "http://ns.adobe.com/xap/1.0/\0"),
        0xE2: ("ICC_PROFILE\0", "MPF\0", "FPXR\0"),
        0xED: ("Photoshop 3.0\x008BIM",),
        0xEE: ("Adobe",),
    }
    found = {}
    for marker in (*range(0xE0, 0xF0), 0xFE):
        for name in (*known.get(marker, ()), ""):
            for fault, body in {"cut short": b"", "of garbage": _GARBAGE}.items():
                found[f"{marker:X} {name!r} {fault}"] = jpeg(segment(marker, name.encode() + body))
    data = plain("JPEG")
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHII", 9, 0x112, 9, 0x7FFFFFFF, 0x7FFFFFFF)
    return found | {
        "Exif with wrong lengths": jpeg(segment(0xE1, exif)),
        "a profile with missing parts": jpeg(segment(0xE2, b"ICC_PROFILE\0\2\3" + _GARBAGE)),
        "pictures that do not follow": jpeg(
            segment(0xE2, b"MPF\0MM\0*\0\0\0\x08" + struct.pack(">HHHIIHHII", 2, 0xB001, 4, 1, 9, 0xB002, 7, 144, 999))
        ),
        "an empty comment without a length": jpeg(segment(0xFE, b"", length=0)),
        "the end missing": data[:-2],
        "half the end missing": data[:-1],
        "the end missing, with a tail": data[:-2] + b"\0\0dhav" + _GARBAGE,
        "the end missing, progressive": encode(picture(), quality=95, progressive=True)[:-2],
        "garbage after the end": data + _GARBAGE,
    }


def _webps() -> dict[str, bytes]:
    cut = webp((b"XMP ", _GARBAGE))
    return {
        "a profile of garbage": webp(),
        "Exif of garbage": webp((b"EXIF", _GARBAGE)),
        "XMP of garbage, and unknown": webp((b"XMP ", _GARBAGE), (b"none", _GARBAGE)),
        "a comment cut off": cut[:-20],
        "more announced than there is": webp(grow=100),
        "garbage after the end": plain("WEBP") + _GARBAGE,
    }


def _gifs() -> dict[str, bytes]:
    data = plain("GIF")
    return {
        "an empty comment": gif(b"\xfe"),
        "a comment of garbage": gif(b"\xfe\x40" + _GARBAGE[:0x40]),
        "an application without content": gif(b"\xff"),
        "an application with a short name": gif(b"\xff\3abc\1x"),
        "a loop cut short": gif(b"\xff\x0bNETSCAPE2.0\1\1"),
        "a plain text": gif(b"\1\x0c" + bytes(12) + b"\2hi"),
        "an unknown extension": gif(b"\x77\3abc"),
        "an empty control": gif(b"\xf9"),
        "a short control": gif(b"\xf9\1\0"),
        "the end missing": data[:-1],
        "the end and the last block's end missing": data[:-2],
        "garbage after the end": data + _GARBAGE,
    }


def _bmps() -> dict[str, bytes]:
    data = plain("BMP")
    return {
        "wrong length of the file": data[:2] + b"\xff\xff\xff\x7f" + data[6:],
        "no length of the file": data[:2] + bytes(4) + data[6:],
        "no length of the pixels": data[:34] + bytes(4) + data[38:],
        "resolution of garbage": data[:38] + b"\xff" * 8 + data[46:],
        "colours that there are none of": data[:46] + b"\0\1\0\0" + b"\xff" * 4 + data[54:],
        "garbage after the end": data + _GARBAGE,
        "planes": data[:26] + b"\7\0" + data[28:],
    }


def _avifs() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x10E] = "a description that is longer than what it is replaced by"
    data = encode(picture(), "AVIF", quality=95, exif=exif, xmp=b"<x:xmp" + _GARBAGE)
    start = data.index(exif.tobytes()[6:14])
    before, after = data[:start], data[start + len(ROTATED) :]
    return {
        "Exif that rotates": before + ROTATED + after,
        "Exif of garbage": before + bytes(len(ROTATED)) + after,
        "garbage after the end": plain("AVIF") + _GARBAGE,
    }


@functools.cache
def sound() -> dict[str, bytes]:
    """Return pictures that look like `picture()`, by format and fault."""
    formats = {"PNG": _pngs, "JPEG": _jpegs, "WEBP": _webps, "GIF": _gifs, "BMP": _bmps, "AVIF": _avifs}
    return {f"{kind}: {name}": data for kind, make in formats.items() for name, data in make().items()}
