"""A preview: nothing that Google gives is known yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra import sdk
from tests.infra.conftest import Deployed
from tests.infra.deployment import UNKNOWN, replaced, walk
from tests.infra.engine import Engine
from tests.infra.mutations import Mutation
from tests.infra.stacks import PROJECT, STACKS, deploy


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
@pytest.mark.parametrize("stack", STACKS)
def test_the_program_runs_through_and_has_nothing_to_complain_of(stack: str, preview: bool, deployed: Deployed) -> None:
    """Warnings count: the SDK warns of what it will take away."""
    deployment = deployed(stack, preview=preview)
    assert (deployment.exit_code, deployment.said("error"), deployment.said("warning")) == (0, [], [])
    assert (deployment.stdout, deployment.stderr) == ("", "")


@pytest.mark.parametrize("stack", STACKS)
def test_a_preview_shows_exactly_what_the_update_makes(stack: str, deployed: Deployed) -> None:
    """No resource hides behind a value that only the update knows, and what is known is the same."""
    preview, update = deployed(stack, preview=True), deployed(stack)
    assert preview.by_urn.keys() == update.by_urn.keys()
    for urn, shown in preview.by_urn.items():
        made = update.by_urn[urn]
        assert (shown.options, shown.dependencies) == (made.options, made.dependencies)
        known = dict(walk(made.inputs))
        for path, value in walk(shown.inputs):
            hidden = value is UNKNOWN or any(part is UNKNOWN for part in [shown.inputs.get(path.split(".")[0])])
            assert hidden or known[path] == value, f"{shown}.{path} is {value!r}, then {known.get(path)!r}"


def test_a_resource_that_hides_from_the_preview_is_noticed(engine: Engine, tmp_path: Path) -> None:
    hidden = Mutation(
        "", "infra/fleet.py", "dev",
        "            _autoscaler(name, settings, plan, self.manager, parent=self)\n",
        "            self.manager.id.apply(lambda _: _autoscaler(name, settings, plan, self.manager, parent=self))\n",
    )  # fmt: skip
    project = hidden.apply(PROJECT, tmp_path)
    preview, update = (deploy(engine, STACKS["dev"], project=project, preview=preview) for preview in (True, False))
    (missing,) = update.by_urn.keys() - preview.by_urn.keys()
    assert "RegionAutoscaler" in missing


@pytest.mark.parametrize("stack", STACKS)
def test_a_preview_s_outputs_are_what_they_will_be_or_unknown(stack: str, deployed: Deployed) -> None:
    shown, made = deployed(stack, preview=True).outputs, deployed(stack).outputs
    assert shown.keys() == made.keys()
    for name, value in shown.items():
        partly = dict(walk(made[name]))
        assert value is UNKNOWN or all(item is UNKNOWN or partly[path] == item for path, item in walk(value)), name


def test_something_is_unknown_in_a_preview(deployed: Deployed) -> None:
    """The tests above compare something."""
    seen: list[object] = []
    for resource in deployed("dev", preview=True).custom:
        replaced(resource.inputs, seen.append)
    assert seen.count(UNKNOWN) > 10


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
@pytest.mark.parametrize("stack", STACKS)
def test_every_input_has_the_type_that_the_sdk_says(stack: str, preview: bool, deployed: Deployed) -> None:
    resources = [r for r in deployed(stack, preview=preview).custom if r.type.startswith("gcp:")]
    assert [mistake for resource in resources for mistake in sdk.input_mistakes(resource)] == []


@pytest.mark.parametrize("stack", STACKS)
def test_the_outputs_that_other_programs_read_are_there(stack: str, deployed: Deployed) -> None:
    """The pipeline and the load test read them by these names."""
    outputs = deployed(stack).outputs
    names = {"url", "curl", "dashboard", "registry", "image", "next", "monthlyCostUsd", "groups", "region"}
    assert names | {"serviceAccount"} <= outputs.keys()
    assert outputs["registry"] == f"europe-west4-docker.pkg.dev/some-project/classifier-{STACKS[stack].name}"
    assert outputs["image"] == STACKS[stack].more["image"]
    assert outputs["next"], "there is always something to type next"
    running = bool(outputs["image"])
    assert all(bool(outputs[name]) == running for name in ("url", "curl", "dashboard", "groups"))
    groups = {group.outputs["name"] for group in deployed(stack).of("compute.RegionInstanceGroupManager")}
    assert set(outputs["groups"]) == groups
