"""What happens around every request: its id, its log line, its metrics, the headers that protect the page."""

from __future__ import annotations

import logging
import re
import time
import uuid

from flask import Flask, Response, g, request

from service.web.state import state

log = logging.getLogger("service.request")

# An id from outside is kept only where it cannot break a log or a header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")

# Asked every few seconds by machines: logged at debug level only.
_PROBES = {"/healthz", "/readyz", "/metrics"}

SECURITY_HEADERS = {
    # The page needs nothing from outside, so nothing from outside is allowed, not even by a mistake of ours.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def register(app: Flask) -> None:
    """Observe every request of `app`."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()
    g.request_id = request_id(request.headers.get("X-Request-ID", ""))


def request_id(given: str) -> str:
    """Return the id of a request: the client's own where it is harmless, else a new one."""
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    # The rule, not the path: a client must not be able to make up label values.
    route = request.url_rule.rule if request.url_rule else "none"
    response.headers["X-Request-ID"] = g.request_id
    for name, value in SECURITY_HEADERS.items():
        response.headers[name] = value
    metrics = state().metrics
    metrics.requests.labels(route, response.status_code).inc()
    metrics.request_seconds.labels(route).observe(seconds)
    level = logging.DEBUG if route in _PROBES else logging.INFO
    if log.isEnabledFor(level):
        fields = {
            "request_id": g.request_id,
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "duration_ms": round(1000 * seconds, 2),
            "request_bytes": request.content_length,
        }
        if "timing_ms" in g:
            fields["timing_ms"] = g.timing_ms
        if "problem" in g:
            fields["problem"] = g.problem
        log.log(level, "%s %s %s", request.method, request.path, response.status_code, extra=fields)
    return response
