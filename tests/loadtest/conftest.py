"""One real service for all load tests of a process: most need no more than that it is real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.model.bundle import Bundle
from tests.server import Server, running


@pytest.fixture(scope="session")
def service(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("service"), MODEL_DIR=tiny_bundle.path) as server:
        yield server
