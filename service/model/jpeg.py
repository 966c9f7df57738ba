"""The segments of a JPEG file: which of them decide the pixels, and whether all of its pixels are there."""

from __future__ import annotations

import re
from collections.abc import Iterator

START, END = b"\xff\xd8", b"\xff\xd9"
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_SCAN = 0xDA
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_STANDALONE = {0x00, 0x01, *range(0xD0, 0xD9)}  # without a length: escaped data, restart markers, another start

# Between a scan's marker and the next one: its data, in which FF is followed by 0 or is a restart marker.
_AFTER_DATA = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")

# Data that no encoder would write, without FF, which would make a marker. It begins with 1; at an end marker decoders
# go on with zeros.
_NOISE = bytes((89 * i * i + 179 * i + 0xB5) % 255 for i in range(64))


def strip(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG file without its metadata before the first scan, and its Exif block, empty where it has none."""
    kept: list[bytes | memoryview] = [START]
    exif, view, done = b"", memoryview(data), 2
    for marker, start, end in _segments(data):
        if marker == _SCAN or end > len(data):
            break
        body = view[start + 4 : end]
        if marker == _APP1 and not exif and body[:6] == b"Exif\0\0":
            exif = bytes(body[6:])
        if not (_APP0 <= marker <= _APP15 or marker == _COMMENT) or _tells_colours(marker, body):
            kept.append(view[start:end])
        done = end
    return b"".join((*kept, view[done:])), exif


def _tells_colours(marker: int, body: memoryview) -> bool:
    """Tell whether libjpeg takes the colour space from this segment: YCbCr, or what Adobe wrote."""
    if marker == _APP0:
        return len(body) >= 14 and body[:5] == b"JFIF\0"
    return marker == _APP14 and len(body) >= 12 and body[:5] == b"Adobe"


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, its place, its end) of each segment up to and including the first scan's header."""
    position = 2
    while (position := data.find(b"\xff", position)) >= 0:
        while data[position + 1 : position + 2] == b"\xff":  # may be repeated to fill up
            position += 1
        if position + 4 > len(data) or (marker := data[position + 1]) == END[1]:
            return
        if marker in _STANDALONE:
            position += 2
            continue
        end = position + 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
        yield marker, position, end
        if marker == _SCAN:
            return
        position = end


def with_end(data: bytes) -> tuple[bytes, ...]:
    """Return the file as it is where it has its end marker, and otherwise two files with one.

    Some cameras leave the marker out; every pixel is there. In a file that was cut off pixels are missing, and decoders
    fill in grey. These two files give the same pixels only where no pixel is made from what follows the data.
    """
    scans = [start for marker, start, _ in _segments(data) if marker == _SCAN]
    if not scans or data.rfind(END, scans[0]) >= 0:
        return (data,)
    if not _has_all_scans(data, scans[0]):
        return (data,)
    data = data.rstrip(b"\xff")  # half an end marker, or a byte whose other half is missing
    return data + END, data + _NOISE + END


def _has_all_scans(data: bytes, first: int) -> bool:
    """Tell whether the scans together give every component all its 64 coefficients at full precision."""
    missing: dict[int, set[int]] = {}
    for marker, start, end in _segments(data):
        if marker in _FRAMES:
            missing = {identity: set(range(64)) for identity in data[start + 10 : end : 3]}
    position = first
    while position + 4 <= len(data):
        if data[position + 1] == 0xFF:  # filled up
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        header = data[position + 4 : end]
        if data[position + 1] == _SCAN:
            if len(header) < 4:
                return False
            low, high, precision = header[-3:]
            if precision & 0x0F == 0:
                for identity in header[1:-3:2]:
                    missing.get(identity, set()).difference_update(range(low, high + 1))
            following = _AFTER_DATA.search(data, end)
            end = following.end() - 2 if following else len(data)
        position = end
    return bool(missing) and not any(missing.values())
