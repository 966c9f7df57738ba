"""The parts of a multipart form, in the order in which they were sent; each byte is read once, never to disk.

Werkzeug's `request.files` forgets the order of parts with different names, puts large files on the disk, and gives up a
form for a file name that is not UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from werkzeug.datastructures import Headers
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from service.errors import MalformedBody

_READ_BYTES = 1 << 16
_MAX_TEXT_BYTES = 500_000
_MAX_HEAD_BYTES = 1 << 14  # Werkzeug takes seconds for a file name of a megabyte that is full of quotes


@dataclass(frozen=True)
class Part:
    """One part of a form.

    Attributes:
        name: the field's; empty where it has none.
        filename: None for a text field. What is not UTF-8 in it is replaced: old systems send their own code page, and
            which one they do not say.
        data: the content.
    """

    name: str
    filename: str | None
    data: bytes


class _Decoder(MultipartDecoder):
    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > _MAX_HEAD_BYTES:
            raise MalformedBody(f"A part of the form has a head of {len(data)} bytes. Give it a shorter file name.")
        return super()._parse_headers(data.decode("utf-8", "replace").encode())


def read(stream: IO[bytes], boundary: str, max_parts: int) -> Iterator[Part]:
    """Read a form.

    Args:
        stream: the body.
        boundary: as the Content-Type names it.
        max_parts: most parts of any kind.

    Raises:
        MalformedBody: it has too many parts, or one with too long a head or text.
        ValueError: it is no form, or it ends too soon.
    """
    decoder = _Decoder(boundary.encode("ascii", "replace"))
    part: Field | File | None = None
    pieces: list[bytes] = []
    count = 0
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, NeedData):
            decoder.receive_data(stream.read(_READ_BYTES) or None)
        elif isinstance(event, Field | File):
            part, pieces, count = event, [], count + 1
            if count > max_parts:
                raise MalformedBody(f"The form has more than {max_parts} parts. Send less at once.")
        elif isinstance(event, Data) and part is not None:
            pieces.append(event.data)
            if isinstance(part, Field) and sum(map(len, pieces)) > _MAX_TEXT_BYTES:
                raise MalformedBody(
                    f"The text field {(part.name or '')[:40]!r} has more than {_MAX_TEXT_BYTES} bytes. Send a picture "
                    "as a part with a file name."
                )
            if not event.more_data:
                yield Part(part.name or "", getattr(part, "filename", None), b"".join(pieces))
