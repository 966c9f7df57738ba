"""The HTTP service: `create_app` puts the routes, the error pages and the model together."""

from __future__ import annotations

from flask import Flask

from service.model.classifier import Classifier
from service.model.images import configure_pillow
from service.serve.http import context, cors, health, page, predict, problems, request_log
from service.serve.http.base_path import BasePath
from service.serve.server import hooks
from service.serve.server.early_refusal import EarlyRefusal
from service.serve.services import Services
from service.settings import Settings, current


def create_app(settings: Settings | None = None, classifier: Classifier | None = None) -> Flask:
    """Make the WSGI application.

    Args:
        settings: read from the environment where it is None.
        classifier: the model to serve, opened and checked before this returns. Where it is None, the bundle that the
            settings name is opened in the background; until then `/readyz` and `/predict` answer 503.

    Raises:
        SettingError: the environment holds a setting that cannot be used.
    """
    settings = settings or current()
    configure_pillow()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json.ensure_ascii = False  # type: ignore[attr-defined]  # Flask's default provider has it, its base does not
    app.json.sort_keys = False  # type: ignore[attr-defined]  # answers keep the order in which they are documented

    services = Services(settings)
    context.attach(app, services)
    lifecycle = services.lifecycle
    hooks.attach(app, hooks.ServerHooks(lifecycle.drain, EarlyRefusal(services), lifecycle.wait))
    app.wsgi_app = BasePath(app.wsgi_app, settings.base_path)  # type: ignore[method-assign]  # as Flask's documents say
    request_log.register(app)
    cors.register(app)
    problems.register(app)
    for module in (predict, health, page):
        app.register_blueprint(module.blueprint)
    if classifier is not None:
        services.lifecycle.start(lambda: classifier)
    else:
        services.start()
    return app
