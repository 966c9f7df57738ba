"""What happens around every request: its id, its log line, its metrics, the headers that protect the page."""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, g, request

from service.serve.http.context import services
from service.serve.interface import HEALTHZ, METRICS, READYZ
from service.serve.responses import SECURITY_HEADERS, request_id

log = logging.getLogger("service.request")

# Asked every few seconds by machines: logged at debug level only.
_PROBES = {HEALTHZ, READYZ, METRICS}


def register(app: Flask) -> None:
    """Observe every request of `app`."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()
    g.request_id = request_id(request.headers.get("X-Request-ID", ""))


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    # The rule, not the path: a client must not be able to make up label values.
    route = request.url_rule.rule if request.url_rule else "none"
    response.headers["X-Request-ID"] = g.request_id
    for name, value in SECURITY_HEADERS.items():
        response.headers[name] = value
    metrics = services().metrics
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
