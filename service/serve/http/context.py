"""The services of the application that handles the current request."""

from __future__ import annotations

from flask import Flask, current_app

from service.serve.services import Services

_EXTENSION = "services"


def attach(app: Flask, services: Services) -> None:
    """Give an application its services."""
    app.extensions[_EXTENSION] = services


def services(app: Flask | None = None) -> Services:
    """Return the services of `app`, of the one that handles the current request where it is None."""
    attached: Services = (app or current_app).extensions[_EXTENSION]
    return attached
