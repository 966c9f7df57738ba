"""The segments of a JPEG file: which of them decide the pixels, and whether all of its pixels are there."""

from __future__ import annotations

import re
from collections.abc import Iterator

START, END = b"\xff\xd8", b"\xff\xd9"
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_SCAN = 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # without tables and a reserved one
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_STANDALONE = {0x00, 0x01, *range(0xD0, 0xD9)}  # without a length: escaped data, restart markers, another start

# Between a scan's marker and the next one: its data, in which FF is followed by 0 or is a restart marker.
_AFTER_DATA = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")

# Data that no encoder would write, without FF, which would make a marker. Decoders read zeros at the end marker; these
# begin otherwise, in two ways: one could mean by chance what the zeros mean.
_NOISES = tuple(bytes((89 * i * i + 179 * i + first) % 255 for i in range(64)) for first in (0b10110101, 0b01001011))


def head(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG file's segments up to its first scan's data, without metadata, and its Exif block, if any.

    Of a file without a scan all that follows is left in.
    """
    kept: list[bytes | memoryview] = [START]
    exif, view, done = b"", memoryview(data), 2
    for marker, start, end in _segments(data):
        body = view[start + 4 : end]
        if marker == _SCAN:
            return b"".join((*kept, view[start:end])), exif
        if end > len(data):
            break
        if marker == _APP1 and not exif and bytes(body[:6]) == b"Exif\0\0":
            exif = bytes(body[6:])
        if not (_APP0 <= marker <= _APP15 or marker == _COMMENT) or _tells_colours(marker, body):
            kept.append(view[start:end])
        done = end
    return b"".join((*kept, view[done:])), exif


def _tells_colours(marker: int, body: memoryview) -> bool:
    """Tell whether libjpeg takes the colour space from this segment: YCbCr, or what Adobe wrote."""
    if marker == _APP0:
        return len(body) >= 14 and bytes(body[:5]) == b"JFIF\0"
    return marker == _APP14 and len(body) >= 12 and bytes(body[:5]) == b"Adobe"


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


def holds_all_pixels(data: bytes) -> bool:
    """Tell whether a decoder must hold the coefficients of the whole picture, whatever size it is decoded at.

    It must where a pixel's components come in several scans: in progressive files, and in others that keep them apart.
    """
    components = 0
    for marker, start, _ in _segments(data):
        if marker in _PROGRESSIVE:
            return True
        if marker in _FRAMES:
            components = data[start + 9]
        elif marker == _SCAN:
            return data[start + 4] < components
    return False


def endings(data: bytes) -> tuple[bytes, ...]:
    """Return what a file is to be decoded with: nothing where it has its end marker, and otherwise each of three ends.

    Some cameras leave the marker out; every pixel is there. In a file that was cut off pixels are missing, and decoders
    fill in grey. With each of these ends the same pixels come out only where none is made from what follows the data.
    """
    scans = [start for marker, start, _ in _segments(data) if marker == _SCAN]
    if not scans or data.rfind(END, scans[0]) >= 0 or not _has_all_scans(data, scans[0]):
        return (b"",)
    # Half an end marker, or data of which the other half is missing.
    escape = b"\0" if data.endswith(b"\xff") else b""
    # Cut off before a restart marker, a decoder waits for that and skips the rest.
    restarts = _RESTART.findall(data, data.rfind(bytes((0xFF, _SCAN))))
    restart = bytes((0xFF, 0xD0 + (restarts[-1][1] - 0xD0 + 1) % 8 if restarts else 0xD0))
    return END, *(escape + noise + restart + noise + END for noise in _NOISES)


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
