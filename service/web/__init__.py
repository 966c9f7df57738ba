"""The HTTP service: `create_app` puts the routes, the error pages and the model together."""

from __future__ import annotations

import functools

from flask import Flask

from service.classifier import BundleClassifier, Classifier
from service.settings import Settings
from service.web import api, health, observe, page, problems
from service.web.bodies import InMemoryRequest
from service.web.door import Door
from service.web.state import EXTENSION, State


def create_app(settings: Settings | None = None, classifier: Classifier | None = None) -> Flask:
    """Make the WSGI application.

    Args:
        settings: read from the environment where it is None.
        classifier: the model to serve, opened and checked before this returns. Where it is None, the bundle that the
            settings name is opened in the background; until then `/readyz` and `/predict` answer 503.

    Raises:
        SettingError: the environment holds a setting that cannot be used.
    """
    settings = settings or Settings.from_environment()
    app = Flask(__name__)
    app.request_class = InMemoryRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_FORM_PARTS"] = 4 * settings.max_files  # text fields beside the pictures do no harm, many would
    app.json.ensure_ascii = False  # type: ignore[attr-defined]  # Flask's default provider has it, its base does not
    app.json.sort_keys = False  # type: ignore[attr-defined]  # answers keep the order in which they are documented

    state = State(settings)
    app.extensions[EXTENSION] = state
    app.extensions["drain"] = state.lifecycle.drain  # what service.worker calls on SIGTERM
    app.extensions["door"] = Door(state)  # what service.refusing asks before it spends a thread on a request
    observe.register(app)
    problems.register(app)
    for module in (api, health, page):
        app.register_blueprint(module.blueprint)
    if classifier is not None:
        state.lifecycle.start(lambda: classifier)
    else:
        state.start(functools.partial(BundleClassifier.open, settings))
    return app
