"""What people look at: the page, its sample pictures, the documentation. Nothing on it comes from another host."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, make_response, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue

from service.errors import NotFound
from service.model.bundle import LANGUAGES
from service.model.formats import FORMATS_TEXT, MIME_TYPES
from service.serve.http.context import services
from service.serve.http.openapi import document, problem_classes
from service.serve.http.translations import TEXTS

blueprint = Blueprint("page", __name__)

# A bundle's sample never changes under its name while a server runs; a new bundle is a new server.
_SAMPLE_MAX_AGE_SEC = 3600


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """Show the page, in the language of ?lang= or else of the browser."""
    current = services()
    lang = _language()
    classifier = current.lifecycle.opened()
    response = make_response(
        render_template(
            "index.html",
            lang=lang,
            text=TEXTS[lang],
            languages=LANGUAGES,
            model=classifier.describe() if classifier else None,
            samples=[file.name for file in classifier.sample_files()] if classifier else [],
            max_bytes=current.settings.max_body_bytes,
            formats=FORMATS_TEXT,
            accept=",".join(MIME_TYPES),
        )
    )
    response.vary.add("Accept-Language")
    response.headers["Cache-Control"] = "no-cache"  # the model behind the page may be another one tomorrow
    return response


@blueprint.get("/samples/<name>")
def sample(name: str) -> ResponseReturnValue:
    """Return one of the bundle's sample pictures."""
    classifier = services().lifecycle.opened()
    for file in classifier.sample_files() if classifier else []:
        if file.name == name:
            return send_file(file.resolve(), max_age=_SAMPLE_MAX_AGE_SEC)
    raise NotFound(f"The model has no sample picture {name!r}. GET {request.script_root}/ shows those it has.")


@blueprint.get("/docs")
def docs() -> ResponseReturnValue:
    """Show the interface for people; every problem's `type` points here."""
    return render_template("docs.html", api=_document(), problems=problem_classes())


@blueprint.get("/openapi.json")
def openapi() -> ResponseReturnValue:
    """Return the interface for programs."""
    return jsonify(_document())


@blueprint.app_template_global("address")
def _address(endpoint: str, **values: Any) -> str:
    """Return an address of ours; a relative one where no BASE_PATH is set, because a proxy may have taken one off."""
    address = url_for(endpoint, **values)
    return address if request.script_root else address.lstrip("/") or "./"


def _document() -> dict[str, Any]:
    return document(services().settings.base_path)


def _language() -> str:
    asked = request.args.get("lang", "")
    if asked in TEXTS:
        return asked
    return request.accept_languages.best_match(list(TEXTS), default="en") or "en"
