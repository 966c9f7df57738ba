"""The description of the HTTP interface, as OpenAPI 3.1: served at /openapi.json and shown at /docs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from service import __version__, errors
from service.model.bundle import LANGUAGES
from service.model.classifier import ModelInfo
from service.model.formats import FORMATS
from service.serve.interface import DEFAULT_TOP_K, HEALTHZ, METRICS, PREDICT, READYZ, TIMEOUT_HEADER, VERSION

_MEDIA_TYPES = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "AVIF": "avif"}


# Of the problems that a client may be told, these are not of an address that is there.
_OF_OTHER_ADDRESSES = (errors.NotFound, errors.MethodNotAllowed)


def problem_classes() -> list[type[errors.Problem]]:
    """List every problem that a client may be told, by status."""
    return sorted(errors.Problem.__subclasses__(), key=lambda problem: (problem.status, problem.name))


def document(base_path: str = "") -> dict[str, Any]:
    """Return the whole document; `base_path` is where the service is."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Image classification",
            "version": __version__,
            "description": "Send a picture, get its likeliest labels. Errors are application/problem+json (RFC 9457).",
        },
        "servers": [{"url": base_path or "/"}],
        "paths": {
            PREDICT: {"post": _predict()},
            HEALTHZ: {"get": _get("Is the process alive?", _status_schema(), [])},
            READYZ: {"get": _get("Is traffic welcome?", _status_schema(), [errors.NotReady])},
            VERSION: {"get": _get("Which code and which model are answering?", _version_schema(), [])},
            METRICS: {
                "get": {
                    "summary": "Metrics for Prometheus.",
                    "responses": {"200": {"description": "OK", "content": {"text/plain": {}}}},
                }
            },
        },
        "components": {"schemas": _schemas()},
    }


def _predict() -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    raw = {f"image/{_MEDIA_TYPES[name]}": {"schema": binary} for name in FORMATS}
    form = {
        "type": "object",
        "properties": {"file": {"type": "array", "items": binary}},
        "required": ["file"],
    }
    return {
        "summary": "Classify a picture, or several.",
        "parameters": [
            {
                "name": "top_k",
                "in": "query",
                "description": "How many labels, up to the number of classes.",
                "schema": {"type": "integer", "minimum": 1, "default": DEFAULT_TOP_K},
            },
            {
                "name": "lang",
                "in": "query",
                "description": "Language of the labels.",
                "schema": {"type": "string", "enum": [*LANGUAGES], "default": "en"},
            },
            {
                "name": TIMEOUT_HEADER,
                "in": "header",
                "description": "Give the request up after so many milliseconds, with 408.",
                "schema": {"type": "integer", "minimum": 1},
            },
        ],
        "requestBody": {
            "required": True,
            "description": "The bytes of one picture, or a form with one or more parts named file (or image).",
            "content": {
                **raw,
                "application/octet-stream": {"schema": binary},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": {
                "description": "The labels of one picture, likeliest first; or the results of several, in order.",
                "content": {
                    "application/json": {
                        "schema": {"oneOf": [_ref("Prediction"), _ref("Predictions")]},
                    }
                },
            },
            **_problem_responses([problem for problem in problem_classes() if problem not in _OF_OTHER_ADDRESSES]),
        },
    }


def _get(summary: str, schema: dict[str, Any], problems: list[type[errors.Problem]]) -> dict[str, Any]:
    ok = {"description": "OK", "content": {"application/json": {"schema": schema}}}
    return {"summary": summary, "responses": {"200": ok, **_problem_responses(problems)}}


def _problem_responses(problems: list[type[errors.Problem]]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    grouped: dict[str, list[str]] = {}
    for problem in problems:
        same = [other for other in problem_classes() if other.status == problem.status]
        grouped[str(problem.status)] = [other.title for other in same]
    return {status: {"description": "; ".join(titles), "content": content} for status, titles in grouped.items()}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _status_schema() -> dict[str, Any]:
    return {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}


def _version_schema() -> dict[str, Any]:
    """Describe /version from the class that it shows."""
    types = {"str": "string", "int": "integer"}
    model = {item.name: {"type": types.get(str(item.type), ["object", "null"])} for item in fields(ModelInfo)}
    return {
        "type": "object",
        "properties": {
            "version": {"type": "string"},
            "commit": {"type": "string"},
            "python": {"type": "string"},
            "model": {
                "type": ["object", "null"],
                "description": "Null until it is loaded.",
                "properties": model,
                "required": [*model],
            },
        },
        "required": ["version", "commit", "python", "model"],
    }


def _schemas() -> dict[str, Any]:
    number = {"type": "number", "minimum": 0}
    labels = {"type": "array", "items": _ref("Label")}
    about = {
        "model": {
            "type": "object",
            "description": "What answered.",
            "properties": {name: {"type": "string"} for name in ("architecture", "weights", "precision", "engine")},
            "required": ["architecture", "weights", "precision", "engine"],
        },
        "timing_ms": {
            "type": "object",
            "description": "Milliseconds: read, wait, decode, infer, total.",
            "additionalProperties": number,
        },
    }
    problem = {
        "type": {"type": "string", "description": "Where /docs describes the problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, and what to do."},
        "request_id": {"type": "string", "description": "The id under which the log knows the request."},
    }
    result = {
        "type": "object",
        "properties": {
            "filename": {"type": ["string", "null"]},
            "predictions": labels,
            "error": _ref("Problem"),
        },
        "required": ["filename"],
        "oneOf": [{"required": ["predictions"]}, {"required": ["error"]}],
    }
    return {
        "Label": {
            "type": "object",
            "properties": {
                "label": {"type": "string"},
                "index": {"type": "integer", "minimum": 0},
                "probability": {"type": "number", "minimum": 0, "maximum": 1},
            },
            "required": ["label", "index", "probability"],
        },
        "Prediction": {
            "type": "object",
            "properties": {"predictions": labels, **about},
            "required": ["predictions", *about],
        },
        "Predictions": {
            "type": "object",
            "properties": {"results": {"type": "array", "items": result}, **about},
            "required": ["results", *about],
        },
        "Problem": {
            "type": "object",
            "properties": problem,
            "required": ["type", "title", "status", "detail"],
        },
    }
