"""What the tests of infra/ share: one engine, and one run of each stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.infra.deployment import Deployment
from tests.infra.engine import Engine
from tests.infra.stacks import STACKS, deploy

# Returns a stack's run, in update or in preview; each runs once in a session.
Deployed = Callable[..., Deployment]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running


@pytest.fixture(scope="session")
def deployed(engine: Engine) -> Deployed:
    runs: dict[tuple[str, bool], Deployment] = {}

    def of(stack: str, *, preview: bool = False) -> Deployment:
        if (stack, preview) not in runs:
            runs[stack, preview] = deploy(engine, STACKS[stack], preview=preview)
        return runs[stack, preview]

    return of
