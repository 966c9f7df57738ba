"""Overload is answered before Flask makes a request of it: refusing ten times the load must cost next to nothing.

What comes out is what the error pages would say, byte for byte but for the id; a test compares the two. Requests that
slip through between two others are refused by the route itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from service.errors import Overloaded
from service.web.bodies import announced_bytes, discard_rest
from service.web.observe import SECURITY_HEADERS, request_id
from service.web.problems import CONTENT_TYPE, text
from service.web.state import State

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROUTE = "/predict"
_LOG_INTERVAL_SEC = 1.0

log = logging.getLogger("service")


class EarlyRefusal:
    """Answers 429 in front of the application while the house is full."""

    def __init__(self, app: WSGIApplication, state: State) -> None:
        self._app = app
        self._state = state
        self._lock = threading.Lock()
        self._unlogged = 0
        self._logged_at = 0.0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if environ["PATH_INFO"] == ROUTE and environ["REQUEST_METHOD"] == "POST":
            settings = self._state.settings
            length = int(environ["CONTENT_LENGTH"]) if environ.get("CONTENT_LENGTH") else None
            overloaded = self._state.admission.refusal(announced_bytes(length, settings.max_body_bytes))
            # Without a model nobody is served, and the route says why.
            if overloaded is not None and self._state.lifecycle.opened() is not None:
                began = time.perf_counter()
                discard_rest(environ["wsgi.input"], length, settings.max_body_bytes)
                return self._refuse(environ, start_response, overloaded, began)
        return self._app(environ, start_response)

    def _refuse(
        self, environ: WSGIEnvironment, start_response: StartResponse, overloaded: Overloaded, began: float
    ) -> Iterable[bytes]:
        identifier = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        body = text(overloaded, identifier).encode()
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Content-Length": str(len(body)),
            **overloaded.headers,
            "X-Request-ID": identifier,
            **SECURITY_HEADERS,
        }
        metrics = self._state.metrics
        metrics.refused.labels(overloaded.name).inc()
        metrics.requests.labels(ROUTE, overloaded.status).inc()
        metrics.request_seconds.labels(ROUTE).observe(time.perf_counter() - began)
        self._note()
        start_response(f"{overloaded.status} TOO MANY REQUESTS", list(headers.items()))
        return [body]

    def _note(self) -> None:
        """Log once a second how many were refused: a line for each would cost more than the refusal."""
        with self._lock:
            self._unlogged += 1
            now = time.monotonic()
            if now - self._logged_at < _LOG_INTERVAL_SEC:
                return
            count, self._unlogged, self._logged_at = self._unlogged, 0, now
        log.warning("overload: %s requests refused since the last such line", count, extra={"refused": count})
