from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.serve.http.application import create_app
from service.settings import Settings
from tests.conftest import FakeClassifier

MakeClient = Callable[..., FlaskClient]


@pytest.fixture
def make_client() -> MakeClient:
    """Make a client of an application with a fake classifier and the given settings."""

    def make(classifier: FakeClassifier | None = None, **settings: Any) -> FlaskClient:
        return create_app(Settings(**settings), classifier or FakeClassifier()).test_client()

    return make


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    return make_client()
