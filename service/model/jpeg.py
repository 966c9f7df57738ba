"""The segments of a JPEG file: which of them decide the pixels, and whether all of its pixels are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from service.model.limits import MAX_PARTS

START, END = b"\xff\xd8", b"\xff\xd9"
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_SCAN = 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # without tables and a reserved one
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}

_MAX_SCANS = 200

# What begins a segment: no escaped FF, nothing without a length (restart markers, another start), no filling with FF.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")

# Data that no encoder would write, without FF, which would make a marker. Decoders read zeros at the end marker; these
# begin otherwise, in two ways: one could mean by chance what the zeros mean.
_NOISES = tuple(bytes((89 * i * i + 179 * i + first) % 255 for i in range(64)) for first in (0b10110101, 0b01001011))


class Head(NamedTuple):
    """What stands before the first scan's data.

    Attributes:
        segments: a JPEG file up to there, without metadata.
        exif: its Exif block, empty where it has none.
        length: how many bytes of the file it is.
    """

    segments: bytes
    exif: bytes
    length: int


def head(data: bytes) -> Head | None:
    """Return the head of a JPEG file; None where there is no scan, so no picture."""
    kept: list[bytes | memoryview] = [START]
    exif, view = b"", memoryview(data)
    for marker, start, end in _segments(data):
        if not (_APP0 <= marker <= _APP15 or marker == _COMMENT) or _tells_colours(marker, view[start + 4 : end]):
            kept.append(view[start:end])
        elif marker == _APP1 and not exif and data.startswith(b"Exif\0\0", start + 4, end):
            exif = data[start + 10 : end]
        if marker == _SCAN:
            return Head(b"".join(kept), exif, end) if end <= len(data) else None
    return None


def _tells_colours(marker: int, body: memoryview) -> bool:
    """Tell whether libjpeg takes the colour space from this segment: YCbCr, or what Adobe wrote."""
    if marker == _APP0:
        return len(body) >= 14 and bytes(body[:5]) == b"JFIF\0"
    return marker == _APP14 and len(body) >= 12 and bytes(body[:5]) == b"Adobe"


def _segments(data: bytes, position: int = 2) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, its place, its end) of each segment from a position on; of a scan its header."""
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, position)
        if found is None or found.end() + 2 > len(data):
            return
        start, marker = found.start(), data[found.start() + 1]
        if marker == END[1]:
            return
        position = start + 2 + max(2, int.from_bytes(data[start + 2 : start + 4], "big"))
        yield marker, start, position


def holds_all_pixels(head: Head) -> bool:
    """Tell whether a decoder must hold the coefficients of the whole picture, whatever size it is decoded at.

    It must where a pixel's components come in several scans: in progressive files, and in others that keep them apart.
    """
    components = 0
    for marker, start, _ in _segments(head.segments):
        if marker in _PROGRESSIVE:
            return True
        if marker in _FRAMES:
            components = head.segments[start + 9]
        elif marker == _SCAN:
            return head.segments[start + 4] < components
    return False


def has_few_scans(data: bytes, head: Head) -> bool:
    """Tell whether a picture comes in no more scans than encoders write: ten or so.

    Each costs a decoder a walk through the whole picture, and an empty one takes ten bytes of a file.
    """
    scans = 1
    for count, (marker, _, _) in enumerate(_segments(data, head.length), 1):
        scans += marker == _SCAN
        if scans > _MAX_SCANS or count == MAX_PARTS:
            return False
    return True


def endings(data: bytes, head: Head) -> tuple[bytes, ...]:
    """Return what a file is to be decoded with: nothing where it has its end marker, and otherwise each of three ends.

    Some cameras leave the marker out; every pixel is there. In a file that was cut off pixels are missing, and decoders
    fill in grey. With each of these ends the same pixels come out only where none is made from what follows the data.
    """
    if data.rfind(END, head.length) >= 0 or not _has_all_scans(data, head):
        return (b"",)
    # Half an end marker, or data of which the other half is missing.
    escape = b"\0" if data.endswith(b"\xff") else b""
    # Cut off before a restart marker, a decoder waits for that and skips the rest.
    scan = data.rfind(bytes((0xFF, _SCAN)))
    last = max(data.rfind(bytes((0xFF, 0xD0 + number)), scan) for number in range(8))
    restart = bytes((0xFF, 0xD0 + (data[last + 1] - 0xD0 + 1) % 8 if last >= 0 else 0xD0))
    return END, *(escape + noise + restart + noise + END for noise in _NOISES)


def _has_all_scans(data: bytes, head: Head) -> bool:
    """Tell whether the scans together give every component all its 64 coefficients at full precision."""
    missing: dict[int, set[int]] = {}
    for marker, start, end in _segments(head.segments):
        if marker in _FRAMES:
            missing = {identity: set(range(64)) for identity in head.segments[start + 10 : end : 3]}
    scans = [head.segments[start + 4 : end] for marker, start, end in _segments(head.segments) if marker == _SCAN]
    scans += [data[start + 4 : end] for marker, start, end in _segments(data, head.length) if marker == _SCAN]
    # How many components, their numbers and tables, the first and the last coefficient, bits before and still to come.
    for header in scans:
        if len(header) < 4 or header[0] > 4 or len(header) != 4 + 2 * header[0]:
            return False
        low, high, precision = header[-3:]
        if precision & 0x0F == 0:
            for identity in header[1:-3:2]:
                missing.get(identity, set()).difference_update(range(low, high + 1))
    return bool(missing) and not any(missing.values())
