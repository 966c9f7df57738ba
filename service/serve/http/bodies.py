"""The pictures in a request: a raw body, or a form with one or more files. Reads each byte once, never to disk."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, Any

from flask import Request, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from service.errors import (
    BodyTimeout,
    EmptyBody,
    MalformedBody,
    MissingFile,
    Problem,
    TooManyBytes,
    TooManyFiles,
    UnsupportedMediaType,
)
from service.model.images import FORMATS_TEXT

# What programs send with a file unless they are told otherwise; curl's --data-binary says the last.
_RAW_TYPES = ("", "application/octet-stream", "application/x-www-form-urlencoded")
_FIELDS = ("file", "image")


class InMemoryRequest(Request):
    """A request whose uploaded files stay in memory: pictures are private, and the production disk is read-only.

    MAX_BODY_BYTES and the number of admitted requests bound the memory.
    """

    def _get_file_stream(self, *_args: Any, **_kwargs: Any) -> IO[bytes]:
        return io.BytesIO()

    def make_form_data_parser(self) -> FormDataParser:
        """Make a parser that says when a form is broken; the default would give an empty form."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser


@dataclass(frozen=True)
class Picture:
    """One picture as it was sent; a raw body has no file name."""

    filename: str | None
    data: bytes


def announced_bytes(length: int | None, max_bytes: int) -> int:
    """Return how much memory a body of `length` may take; the limit where it tells no length."""
    return max_bytes if length is None else min(length, max_bytes)


def read_pictures(max_bytes: int, max_files: int) -> list[Picture]:
    """Read the current request's pictures, in the order in which they were sent.

    Raises:
        EmptyBody, MissingFile, MalformedBody, TooManyFiles, TooManyBytes, BodyTimeout, UnsupportedMediaType: as their
            names say.
    """
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
    except RequestEntityTooLarge:
        if length is None:
            raise too_many_bytes(max_bytes) from None
        raise MalformedBody(
            "The form has too many parts, or a text field of more than 500,000 bytes. Send the picture as a part "
            "with a file name."
        ) from None
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
    return data


def _from_form(max_files: int) -> list[Picture]:
    if "boundary" not in request.mimetype_params:
        raise MalformedBody("The form's Content-Type names no boundary. Let the HTTP library set that header.")
    files = [part for name in _FIELDS for part in request.files.getlist(name)]
    if not files:
        names = sorted({*request.files.keys(), *request.form.keys()})
        parts = f"It has: {', '.join(names[:10])}." if names else "It is empty."
        raise MissingFile(f"The form has no file part named file (or image). {parts}")
    if len(files) > max_files:
        raise TooManyFiles(
            f"The form holds {len(files)} pictures, more than the {max_files} that are accepted at once."
        )
    return [Picture(part.filename or None, part.stream.read()) for part in files]
