"""What machines ask: alive, willing, metrics, version.

`/healthz` is shallow on purpose: it says that the process answers, and a machine is replaced when it does not.
`/readyz` is deep: it follows the known-answer test, and a machine is only taken out of rotation when it says no.
"""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST

from service import __version__
from service.serve.http.context import services
from service.serve.interface import HEALTHZ, METRICS, READYZ, VERSION

blueprint = Blueprint("health", __name__)


@blueprint.get(HEALTHZ)
def healthz() -> ResponseReturnValue:
    """Say that the process is alive."""
    return jsonify({"status": "alive"})


@blueprint.get(READYZ)
def readyz() -> ResponseReturnValue:
    """Say whether traffic is welcome; 503 with the reason where it is not."""
    services().lifecycle.check_ready()
    return jsonify({"status": "ready"})


@blueprint.get(METRICS)
def metrics() -> ResponseReturnValue:
    """Return the metrics for Prometheus."""
    return Response(services().metrics.render(), content_type=CONTENT_TYPE_LATEST)


@blueprint.get(VERSION)
def version() -> ResponseReturnValue:
    """Say which code and which model are answering; `model` is null until it is loaded."""
    current = services()
    classifier = current.lifecycle.opened()
    body: dict[str, Any] = {
        "version": __version__,
        "commit": current.settings.commit,
        "python": platform.python_version(),
        "model": asdict(classifier.describe()) if classifier else None,
    }
    return jsonify(body)
