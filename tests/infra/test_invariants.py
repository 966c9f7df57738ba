"""Every invariant holds for every stack, and whichever setting is turned."""

from __future__ import annotations

import pytest

from tests.infra import discovery, sdk
from tests.infra.conftest import Deployed
from tests.infra.engine import Engine
from tests.infra.invariants import INVARIANTS
from tests.infra.stacks import STACKS, VARIATIONS, deploy


@pytest.mark.parametrize("outage", INVARIANTS)
@pytest.mark.parametrize("stack", STACKS)
def test_no_stack_has(outage: str, stack: str, deployed: Deployed) -> None:
    assert list(INVARIANTS[outage](deployed(stack))) == []


@pytest.mark.parametrize("variation", VARIATIONS)
def test_no_setting_brings_an_outage(variation: str, engine: Engine) -> None:
    stack, more = VARIATIONS[variation]
    deployment = deploy(engine, STACKS[stack], **more)
    assert deployment.exit_code == 0, deployment.said("error")
    resources = [resource for resource in deployment.custom if resource.type.startswith("gcp:")]
    complaints = [complaint for invariant in INVARIANTS.values() for complaint in invariant(deployment)]
    complaints += [complaint for resource in resources for complaint in sdk.input_mistakes(resource)]
    complaints += [complaint for resource in resources for complaint in discovery.mistakes(resource)]
    assert complaints == []
