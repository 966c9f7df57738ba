"""What machines ask: alive, willing, metrics, version.

`/healthz` is shallow on purpose: it says that the process answers, and a machine is replaced when it does not.
`/readyz` is deep: it follows the known-answer test, and a machine is only taken out of rotation when it says no.
"""

from __future__ import annotations

import platform
from typing import Any

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST

from service import __version__
from service.web.state import state

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say that the process is alive."""
    return jsonify({"status": "alive"})


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Say whether traffic is welcome; 503 with the reason where it is not."""
    state().lifecycle.check_ready()
    return jsonify({"status": "ready"})


@blueprint.get("/metrics")
def metrics() -> ResponseReturnValue:
    """Return the metrics for Prometheus."""
    return Response(state().metrics.render(), content_type=CONTENT_TYPE_LATEST)


@blueprint.get("/version")
def version() -> ResponseReturnValue:
    """Say which code and which model are answering; `model` is null until it is loaded."""
    current = state()
    classifier = current.lifecycle.opened()
    body: dict[str, Any] = {
        "version": __version__,
        "commit": current.settings.commit,
        "python": platform.python_version(),
        "model": classifier.describe() if classifier else None,
    }
    return jsonify(body)
