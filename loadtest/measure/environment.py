"""Locust's environment, in which users find their session."""

from __future__ import annotations

from typing import Any

from locust.env import Environment

from loadtest.measure.session import Session


class LoadEnvironment(Environment):
    """See the module; `shape.planned_environment` makes one that knows its users and their number."""

    def __init__(self, session: Session, **options: Any) -> None:
        self.session = session
        super().__init__(host=session.url, **options)
