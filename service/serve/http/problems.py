"""The one place where errors become HTTP answers: application/problem+json (RFC 9457), never a stack trace."""

from __future__ import annotations

import logging

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from service.errors import InternalError, MalformedBody, MethodNotAllowed, NotFound, Problem
from service.serve.http.context import services
from service.serve.responses import PROBLEM_TYPE, problem_text

log = logging.getLogger("service")


def register(app: Flask) -> None:
    """Render every exception that leaves a route."""
    app.register_error_handler(Problem, render)
    app.register_error_handler(HTTPException, _render_http_exception)
    app.register_error_handler(Exception, _render_unexpected)


def render(problem: Problem) -> Response:
    """Return the answer to one problem, with the request id under which the log knows it."""
    g.problem = problem.name
    text = problem_text(problem, g.request_id, services().settings.base_path)
    return Response(text, status=problem.status, content_type=PROBLEM_TYPE, headers=problem.headers)


def _render_http_exception(error: HTTPException) -> Response:
    """Give the framework's own exceptions the same form."""
    if error.code == 404:
        return render(
            NotFound(f"There is nothing at {request.path}. GET {request.script_root}/docs lists the addresses.")
        )
    if isinstance(error, WerkzeugMethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or []))
        return render(MethodNotAllowed(f"{request.path} takes {allowed}, not {request.method}.", allowed))
    if error.code is not None and 300 <= error.code < 400:
        return error.get_response()  # type: ignore[return-value]  # a redirect, made by this same Flask
    if error.code is not None and error.code < 500:
        return render(MalformedBody(f"The request cannot be read: {error.description}"))
    return _render_unexpected(error)


def _render_unexpected(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error, extra={"request_id": g.request_id})
    return render(InternalError("This is a mistake of the service, not of the request. Its log has the details."))
