"""Every invariant holds for every stack, and whichever setting is turned."""

from __future__ import annotations

import pytest

from tests.infra import discovery, sdk
from tests.infra.conftest import Deployed
from tests.infra.deployment import Deployment
from tests.infra.engine import Engine
from tests.infra.invariants import INVARIANTS
from tests.infra.stacks import STACKS, VARIATIONS, Stack, deploy, image


@pytest.mark.parametrize("outage", INVARIANTS)
@pytest.mark.parametrize("stack", STACKS)
def test_no_stack_has(outage: str, stack: str, deployed: Deployed) -> None:
    assert list(INVARIANTS[outage](deployed(stack))) == []


def complaints(deployment: Deployment) -> list[str]:
    """Return what the invariants, the SDK and Google's API descriptions have against a run."""
    assert deployment.exit_code == 0, deployment.said("error")
    resources = [resource for resource in deployment.custom if resource.type.startswith("gcp:")]
    found = [complaint for invariant in INVARIANTS.values() for complaint in invariant(deployment)]
    found += [complaint for resource in resources for complaint in sdk.input_mistakes(resource)]
    found += [complaint for resource in resources for complaint in discovery.mistakes(resource)]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("variation", VARIATIONS)
def test_no_setting_brings_an_outage(variation: str, engine: Engine) -> None:
    stack, more = VARIATIONS[variation]
    assert complaints(deploy(engine, STACKS[stack], **more)) == []


@pytest.mark.parametrize("stack", ["https", "everything", "single"])
def test_the_longest_name_of_a_stack_fits_into_every_name(stack: str, engine: Engine) -> None:
    """19 characters, above which infra/checks refuses it; Google's names have 63, an account's has 30."""
    longest = Stack("nineteen-characters", STACKS[stack].more)
    deployment = deploy(engine, longest, image=image(longest.name))
    assert complaints(deployment) == []
    account = deployment.one("serviceaccount.Account").inputs["accountId"]
    assert len(account) <= 30
