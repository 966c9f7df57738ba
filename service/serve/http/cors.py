"""Pages of other hosts that ask from a browser (cross-origin resource sharing): the setting CORS_ORIGINS."""

from __future__ import annotations

from flask import Flask, Response, request

from service.serve.http.context import services
from service.serve.responses import cors_headers

# Nobody is signed in here and no header gives a right, so that a page may send whichever it likes. Two hours is the
# longest that browsers remember it.
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "7200",
}


def register(app: Flask) -> None:
    """Answer what browsers ask first, and mark every answer of `app`."""
    app.before_request(_preflight)
    app.after_request(_mark)


def _headers() -> dict[str, str]:
    return cors_headers(services().settings.cors_origins, request.headers.get("Origin"))


def _preflight() -> Response | None:
    asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if not asked or "Access-Control-Allow-Origin" not in _headers():
        return None
    return Response(status=204, headers=_PREFLIGHT)


def _mark(response: Response) -> Response:
    for name, value in _headers().items():
        if name == "Vary":
            response.vary.add(value)
        else:
            response.headers[name] = value
    return response
