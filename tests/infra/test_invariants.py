"""Every invariant holds for every stack."""

from __future__ import annotations

import pytest

from tests.infra.conftest import Deployed
from tests.infra.invariants import INVARIANTS
from tests.infra.stacks import STACKS


@pytest.mark.parametrize("outage", INVARIANTS)
@pytest.mark.parametrize("stack", STACKS)
def test_no_stack_has(outage: str, stack: str, deployed: Deployed) -> None:
    assert list(INVARIANTS[outage](deployed(stack))) == []
