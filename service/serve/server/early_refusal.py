"""Overload is answered before it reaches a thread: refusing ten times the load must cost next to nothing.

`refusing_worker` asks with the first bytes of each request. The answer is what the route itself would say, but for the
id; a test compares the two. Requests that slip through between two others are refused by the route.
"""

from __future__ import annotations

import logging
import re
import threading
import time

from service.errors import Overloaded
from service.serve.interface import PREDICT
from service.serve.responses import problem_bytes, request_id
from service.serve.server.hooks import Refusal
from service.serve.services import Services

_LOG_INTERVAL_SEC = 1.0

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
# With one of these a request is more than a head and a body of a known length, and gunicorn knows better.
_NOT_SIMPLE = {b"transfer-encoding", b"expect", b"upgrade", b"connection"}

log = logging.getLogger("service")


class EarlyRefusal:
    """Refuses predictions while as many as the service takes are being served or wait."""

    def __init__(self, services: Services) -> None:
        self._services = services
        base_path = re.escape(services.settings.base_path)
        self._request_line = re.compile(rf"POST (?:{base_path})?{PREDICT}(?:\?[^\s]*)? HTTP/1\.1".encode())
        self._lock = threading.Lock()
        self._unlogged = 0
        self._logged_at = 0.0
        metrics = services.metrics
        self._refused = metrics.refused.labels(Overloaded.name)
        self._requests = metrics.requests.labels(PREDICT, Overloaded.status)
        self._seconds = metrics.request_seconds.labels(PREDICT)

    def __call__(self, first_bytes: bytes) -> Refusal | None:
        """Return the refusal of the request that begins so; None where it may come in, or is not simple."""
        services = self._services
        # Without a model nobody is served, and the route says why.
        if not services.admission.full or services.lifecycle.opened() is None:
            return None
        began = time.perf_counter()
        fields = _simple_head(self._request_line, first_bytes)
        if fields is None:
            return None
        length = int(fields[b"content-length"])
        if length > services.settings.max_body_bytes:
            return None
        overloaded = services.admission.refusal(length)
        if overloaded is None:
            return None
        identifier = request_id(fields.get(b"x-request-id", b"").decode("latin-1"))
        origin = fields.get(b"origin", b"").decode("latin-1")
        answer = problem_bytes(overloaded, identifier, "keep-alive", services.settings, origin)
        self._refused.inc()
        self._requests.inc()
        self._seconds.observe(time.perf_counter() - began)
        self._note()
        return Refusal(answer, first_bytes.index(b"\r\n\r\n") + 4 + length)

    def _note(self) -> None:
        """Log once a second how many were refused: a line for each would cost more than the refusal."""
        with self._lock:
            self._unlogged += 1
            now = time.monotonic()
            if now - self._logged_at < _LOG_INTERVAL_SEC:
                return
            count, self._unlogged, self._logged_at = self._unlogged, 0, now
        log.warning("overload: %s requests refused since the last such line", count, extra={"refused": count})


def _simple_head(request_line: re.Pattern[bytes], first_bytes: bytes) -> dict[bytes, bytes] | None:
    """Return the header fields of a prediction request with one plain Content-Length, None for anything else."""
    head, end, _ = first_bytes.partition(b"\r\n\r\n")
    line, _, rest = head.partition(b"\r\n")
    if not end or not request_line.fullmatch(line):
        return None
    fields: dict[bytes, bytes] = {}
    for item in rest.split(b"\r\n"):
        field = _FIELD.fullmatch(item)
        if field is None:
            return None
        name = field[1].lower()
        if name in fields or (name in _NOT_SIMPLE and field[2].lower() != b"keep-alive"):
            return None
        fields[name] = field[2]
    length = fields.get(b"content-length", b"")
    return fields if b"host" in fields and length.isdigit() and len(length) < 16 else None
