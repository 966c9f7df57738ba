"""Everything that can go wrong, each with its HTTP status; raised where it is found, rendered in one place.

    ServiceError                    what the command line prints on one line
     ├── BundleError                a model bundle is missing, incomplete or damaged
     ├── EngineError                an engine cannot run this bundle on this machine
     ├── BuildError                 what a bundle is to be built of does not fit
     └── Problem                    what an HTTP client is told, as application/problem+json (RFC 9457)
          ├── EmptyBody             400  nothing was sent
          ├── MissingFile           400  a form without a picture
          ├── MalformedBody         400  the body is framed or encoded wrongly
          ├── MalformedRequest      400  what came is no HTTP
          ├── BadParameter          400  a parameter that cannot be used
          ├── TooManyFiles          400  more pictures than one request may hold
          ├── NotFound              404  no such address
          ├── MethodNotAllowed      405  the address exists, the method does not
          ├── BodyTimeout           408  the body came too slowly
          ├── DeadlineExceeded      408  the time that the request itself allowed is over
          ├── TooManyBytes          413  the body is too large
          ├── TooManyPixels         413  the picture is too large
          ├── AddressTooLong        414  the request's address is too long
          ├── UnsupportedMediaType  415  the body is not what this address takes
          ├── UnsupportedEncoding   415  the body is compressed
          ├── UnsupportedFormat     415  the picture is in no known format
          ├── UnknownExpectation    417  the request expects what HTTP does not have
          ├── DamagedPicture        422  the format is known, the content is damaged
          ├── Overloaded            429  as many requests as the service takes are being served
          ├── OutOfTime             429  the time that the service allows is over before the request's turn came
          ├── HeadTooLarge          431  the request's headers are too large
          ├── InternalError         500  a mistake of ours
          └── NotReady              503  still starting, failed its self-test, or draining

`detail` says what happened, with the value, and what to do about it.

Balancers take 502, 503 and 504 for a broken machine: they ask another one, and after a few in a row this one no more.
So nothing that a client does, nor any load, is answered with one of them; 503 speaks of the machine's own state.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ServiceError(Exception):
    """Something that a person can act on; its message is one line."""


class BundleError(ServiceError):
    """A model bundle is missing, incomplete or damaged; the message names the file and the remedy."""


class EngineError(ServiceError):
    """An engine cannot run this bundle on this machine; the message says what to install or choose."""


class BuildError(ServiceError):
    """What a bundle is to be built of does not fit; the message says what."""


class Problem(ServiceError):
    """An answer to a client: `status` and `title` belong to the class, `detail` to the case.

    `type` is a URI reference to the description of the problem on the service's own documentation page.
    `retry_after_sec` is when to come back, in whole seconds, as RFC 9110 wants it; None where that would not help.
    """

    status: ClassVar[int]
    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, retry_after_sec: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_sec = retry_after_sec

    @property
    def headers(self) -> dict[str, str]:
        """Return the HTTP headers that belong to this answer."""
        return {} if self.retry_after_sec is None else {"Retry-After": str(self.retry_after_sec)}

    def body(self, base_path: str = "") -> dict[str, Any]:
        """Return the problem as RFC 9457 names its members; `base_path` is where the service is."""
        return {
            "type": f"{base_path}/docs#{self.name}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }


class EmptyBody(Problem):
    """Nothing was sent."""

    status, name, title = 400, "empty-body", "The picture is empty"


class MissingFile(Problem):
    """A form without a picture."""

    status, name, title = 400, "missing-file", "The form holds no picture"


class MalformedBody(Problem):
    """The body is framed or encoded wrongly."""

    status, name, title = 400, "malformed-body", "The body cannot be read"


class MalformedRequest(Problem):
    """What came is no HTTP."""

    status, name, title = 400, "malformed-request", "The request is not valid HTTP"


class BadParameter(Problem):
    """A parameter of the address or a header that cannot be used."""

    status, name, title = 400, "bad-parameter", "A parameter cannot be used"


class TooManyFiles(Problem):
    """More pictures than one request may hold."""

    status, name, title = 400, "too-many-files", "Too many pictures in one request"


class NotFound(Problem):
    """No such address."""

    status, name, title = 404, "not-found", "No such address"


class MethodNotAllowed(Problem):
    """The address exists, the method does not."""

    status, name, title = 405, "method-not-allowed", "This address does not take that method"

    def __init__(self, detail: str, allowed: str) -> None:
        super().__init__(detail)
        self.allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        """Return the Allow header that RFC 9110 asks for."""
        return {"Allow": self.allowed}


class BodyTimeout(Problem):
    """The body came too slowly."""

    status, name, title = 408, "body-timeout", "The picture arrived too slowly"


class DeadlineExceeded(Problem):
    """The time that the request itself allowed is over."""

    status, name, title = 408, "deadline-exceeded", "The request's own time limit is over"


class TooManyBytes(Problem):
    """The body is larger than MAX_BODY_BYTES."""

    status, name, title = 413, "too-many-bytes", "The request is too large"


class TooManyPixels(Problem):
    """The picture is larger than MAX_PICTURE_PIXELS or MAX_DECODED_PIXELS."""

    status, name, title = 413, "too-many-pixels", "The picture has too many pixels"


class AddressTooLong(Problem):
    """The request's address is too long."""

    status, name, title = 414, "address-too-long", "The request's address is too long"


class UnsupportedMediaType(Problem):
    """The Content-Type says that the body is no picture."""

    status, name, title = 415, "unsupported-media-type", "The request is not a picture"


class UnsupportedEncoding(Problem):
    """The Content-Encoding says that the body is compressed."""

    status, name, title = 415, "unsupported-encoding", "The body is compressed"

    @property
    def headers(self) -> dict[str, str]:
        """Return the Accept-Encoding header that RFC 9110 asks for."""
        return {"Accept-Encoding": "identity"}


class UnsupportedFormat(Problem):
    """The picture is in no known format."""

    status, name, title = 415, "unsupported-format", "The picture is in no supported format"


class UnknownExpectation(Problem):
    """The request expects what HTTP does not have."""

    status, name, title = 417, "unknown-expectation", "The request expects something unknown"


class DamagedPicture(Problem):
    """The format is known, the content is damaged."""

    status, name, title = 422, "damaged-picture", "The picture is damaged"


class Overloaded(Problem):
    """As many requests as the service takes are being served or wait."""

    status, name, title = 429, "overloaded", "The service is busy"


class OutOfTime(Problem):
    """The time that the service allows a request is over before its turn came."""

    status, name, title = 429, "out-of-time", "The service had no time for the request"


class HeadTooLarge(Problem):
    """The request's headers are too large."""

    status, name, title = 431, "head-too-large", "The request's headers are too large"


class InternalError(Problem):
    """A mistake of ours; the log has the trace under the same request id."""

    status, name, title = 500, "internal-error", "The service made a mistake"


class NotReady(Problem):
    """Still starting, failed its self-test, or draining."""

    status, name, title = 503, "not-ready", "The service is not ready"

    def __init__(self, detail: str, retry_after_sec: int | None = 1) -> None:
        super().__init__(detail, retry_after_sec)  # a start takes about a second
