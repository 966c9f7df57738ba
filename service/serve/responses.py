"""What every answer has, whoever gives it: the id, the headers that protect the page, the form of a problem.

Routes answer by Flask, the event loop and the server by themselves. Imports neither Flask nor gunicorn: both sides need
it, and gunicorn's parent process stays small.
"""

from __future__ import annotations

import json
import re
import uuid
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from service.errors import Problem
from service.settings import Settings

PROBLEM_TYPE = "application/problem+json"

# An id from outside is kept only where it cannot break a log or a header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")

SECURITY_HEADERS = {
    # The page needs nothing from outside, so nothing from outside is allowed, not even by a mistake of ours.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def request_id(given: str) -> str:
    """Return the id of a request: the client's own where it is harmless, else a new one."""
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def cors_headers(allowed: str, origin: str | None) -> dict[str, str]:
    """Return the headers with which a browser lets a page of another host read an answer (CORS).

    Args:
        allowed: the setting CORS_ORIGINS.
        origin: where the page is from, as the request says; None where that is not known.
    """
    origins = allowed.split()
    if not origins:
        return {}
    readable = {"Access-Control-Expose-Headers": "Allow, Retry-After, X-Request-ID"}
    if "*" in origins:
        return {"Access-Control-Allow-Origin": "*", **readable}
    vary = {"Vary": "Origin"}  # also where the origin is a stranger: a cache must not give it another one's answer
    return {"Access-Control-Allow-Origin": origin, **readable, **vary} if origin in origins else vary


def problem_text(problem: Problem, identifier: str, base_path: str) -> str:
    """Return the body that every answer to a problem has."""
    body: dict[str, Any] = {**problem.body(base_path), "request_id": identifier}
    return json.dumps(body, ensure_ascii=False) + "\n"


def problem_bytes(
    problem: Problem, identifier: str, connection: str, settings: Settings, origin: str | None = None
) -> bytes:
    """Return a whole HTTP answer, as the route would give it, for those who write to the socket themselves.

    Args:
        problem: what to say.
        identifier: the request's id.
        connection: keep-alive, or close where the next request could not be found.
        settings: where the service is, and whose pages may read the answer.
        origin: see cors_headers.
    """
    body = problem_text(problem, identifier, settings.base_path).encode()
    headers = {
        "Date": formatdate(usegmt=True),
        "Connection": connection,
        "Content-Type": PROBLEM_TYPE,
        "Content-Length": str(len(body)),
        **problem.headers,
        "X-Request-ID": identifier,
        **SECURITY_HEADERS,
        **cors_headers(settings.cors_origins, origin),
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    phrase = HTTPStatus(problem.status).phrase.upper()
    return "\r\n".join([f"HTTP/1.1 {problem.status} {phrase}", *lines, "", ""]).encode("latin-1") + body
