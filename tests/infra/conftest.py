"""What the tests of infra/ share: one engine, and one run of each stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.infra.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running
