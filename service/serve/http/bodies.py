"""The pictures in a request: a raw body, or a form with one or more files. Reads each byte once, never to disk."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from service.errors import (
    BodyTimeout,
    EmptyBody,
    MalformedBody,
    MissingFile,
    Problem,
    TooManyBytes,
    TooManyFiles,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from service.model.formats import FORMATS_TEXT
from service.serve.http import form

# What programs send with a file unless they are told otherwise; curl's --data-binary says the last.
_URLENCODED = "application/x-www-form-urlencoded"
_RAW_TYPES = ("", "application/octet-stream", _URLENCODED)
_FIELDS = ("file", "image")
_PARTS_PER_FILE = 4  # text fields beside the pictures do no harm, many would


@dataclass(frozen=True)
class Picture:
    """One picture as it was sent; a raw body has no file name. `problem` is why it need not be looked at."""

    filename: str | None
    data: bytes
    problem: Problem | None = None


def announced_bytes(length: int | None, max_bytes: int) -> int:
    """Return how much memory a body of `length` may take; the limit where it tells no length."""
    return max_bytes if length is None else min(length, max_bytes)


def read_pictures(max_bytes: int, max_files: int) -> list[Picture]:
    """Read the current request's pictures, in the order in which they were sent.

    Raises:
        EmptyBody, MissingFile, MalformedBody, TooManyFiles, TooManyBytes, BodyTimeout, UnsupportedEncoding,
            UnsupportedMediaType: as their names say.
    """
    coding = request.headers.get("Content-Encoding", "").strip()
    if coding.lower() not in ("", "identity"):
        raise UnsupportedEncoding(
            f"The body has the Content-Encoding {coding[:40]!r}. Send the picture as it is, without that header: it is "
            "compressed already."
        )
    length = request.content_length
    if length is not None and length > max_bytes:
        raise too_many_bytes(max_bytes)  # before the first byte is read
    try:
        if request.mimetype == "multipart/form-data":
            return _from_form(max_files)
        if request.mimetype in _RAW_TYPES or request.mimetype.startswith("image/"):
            return [Picture(None, _from_body(length, max_bytes))]
    except Problem:
        raise
    except ClientDisconnected:
        raise BodyTimeout("The form did not arrive whole in time. Send it again, or send it smaller.") from None
    except RequestEntityTooLarge:
        raise too_many_bytes(max_bytes) from None
    except Exception as error:
        # Whatever goes wrong while a body is read is the body's framing: gunicorn and Werkzeug have a dozen exceptions
        # for it, without a common class.
        raise MalformedBody(f"The request's body cannot be read: {error}. Send it again.") from None
    raise UnsupportedMediaType(
        f"The request says that it is {request.mimetype}. Send the bytes of a {FORMATS_TEXT} file with its own type or "
        "as application/octet-stream, or a multipart/form-data form with a part named file."
    )


def too_many_bytes(limit: int) -> TooManyBytes:
    """Return the error for a body larger than `limit`."""
    return TooManyBytes(f"The request is larger than the {limit} bytes that are accepted. Send less at once.")


def _from_body(length: int | None, max_bytes: int) -> bytes:
    # In one read, where Werkzeug's stream makes one per 64 KiB; and a chunked body, whose length nobody tells, it would
    # cut at its limit without a word.
    data: bytes = request.environ["wsgi.input"].read(max_bytes + 1 if length is None else length)
    if len(data) > max_bytes:
        raise too_many_bytes(max_bytes)
    if not data:
        raise EmptyBody(f"The request has no body. Send a {FORMATS_TEXT} file.")
    if length is not None and len(data) < length:
        raise BodyTimeout(f"{len(data)} of {length} bytes arrived in time. Send it again, or send it smaller.")
    if request.mimetype == _URLENCODED and b"\0" not in data:  # every picture has a zero byte in its head
        raise UnsupportedMediaType(
            f"These {len(data)} bytes came as the text of a form ({_URLENCODED}) and are no picture, or no longer one: "
            "curl's -d and --data leave bytes out. Use --data-binary @PICTURE or -F file=@PICTURE."
        )
    return data


def _from_form(max_files: int) -> list[Picture]:
    boundary = request.mimetype_params.get("boundary")
    if not boundary:
        raise MalformedBody("The form's Content-Type names no boundary. Let the HTTP library set that header.")
    parts = list(form.read(request.stream, boundary, _PARTS_PER_FILE * max_files))
    # An empty text field is one that nobody filled in.
    sent = [part for part in parts if part.name in _FIELDS and (part.data or part.filename is not None)]
    if not sent:
        names = sorted({part.name or "one without a name" for part in parts})
        held = f"It has: {', '.join(names[:10])}." if names else "It is empty."
        raise MissingFile(f"The form has no file part named file (or image). {held}")
    if len(sent) > max_files:
        raise TooManyFiles(f"The form holds {len(sent)} pictures, more than the {max_files} that are accepted at once.")
    return [Picture(part.filename or None, part.data, _without_file_name(part)) for part in sent]


def _without_file_name(part: form.Part) -> Problem | None:
    if part.filename is not None:
        return None
    return MissingFile(
        f"The part named {part.name} has no file name, so its {len(part.data)} bytes are text, not a picture. Send the "
        "file itself, not its name and not base64; with curl, -F file=@PICTURE."
    )
