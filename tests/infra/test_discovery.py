"""What Google's own API descriptions say of the inputs: enumerations, types, formats, names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from googleapiclient import discovery_cache

from tests.infra import discovery
from tests.infra.conftest import Deployed
from tests.infra.deployment import Deployment, Resource
from tests.infra.shapes import has_shape
from tests.infra.stacks import STACKS


def described(deployment: Deployment) -> list[Resource]:
    return [r for r in deployment.custom if r.type.startswith("gcp:") and has_shape(r.kind)]


@pytest.mark.parametrize("stack", STACKS)
def test_google_takes_every_input(stack: str, deployed: Deployed) -> None:
    assert [mistake for r in described(deployed(stack)) for mistake in discovery.mistakes(r)] == []


@pytest.mark.parametrize("stack", STACKS)
def test_every_api_that_is_switched_on_exists(stack: str, deployed: Deployed) -> None:
    documents = {file.name for file in Path(discovery_cache.__file__).parent.joinpath("documents").iterdir()}
    for service in deployed(stack).of("projects.Service"):
        name = service.inputs["service"].removesuffix(".googleapis.com")
        assert any(document.startswith(f"{name}.v") for document in documents), f"{service} enables {name}"


# Enumerations that the SDK leaves as text and that a mistake in would show only while the deployment runs.
ENUMERATIONS = [
    "compute.BackendService.backends.balancingMode", "compute.BackendService.loadBalancingScheme",
    "compute.BackendService.localityLbPolicy", "compute.BackendService.protocol",
    "compute.GlobalForwardingRule.loadBalancingScheme", "compute.InstanceTemplate.scheduling.instanceTerminationAction",
    "compute.InstanceTemplate.scheduling.onHostMaintenance", "compute.InstanceTemplate.scheduling.provisioningModel",
    "compute.RegionInstanceGroupManager.distributionPolicyTargetShape",
    "compute.RegionInstanceGroupManager.updatePolicy.minimalAction",
    "compute.RegionInstanceGroupManager.updatePolicy.replacementMethod",
    "compute.RegionInstanceGroupManager.updatePolicy.type", "compute.SecurityPolicy.rules.action",
    "compute.SecurityPolicy.rules.rateLimitOptions.conformAction",
    "compute.SecurityPolicy.rules.rateLimitOptions.enforceOnKey",
    "compute.SecurityPolicy.rules.rateLimitOptions.exceedAction", "compute.SecurityPolicy.type",
    "compute.URLMap.defaultRouteAction.retryPolicy.retryConditions", "monitoring.AlertPolicy.combiner",
    "monitoring.Dashboard.mosaicLayout.tiles.widget.xyChart.dataSets.plotType",
]  # fmt: skip


def enumerated(deployment: Deployment) -> list[tuple[Resource, discovery.Leaf, str]]:
    """Return every input that is an enumeration, with its place as in ENUMERATIONS."""
    found = []
    for resource in described(deployment):
        for leaf in discovery.leaves(resource):
            if leaf.choices:
                place = "".join(part.split("]")[-1] for part in leaf.path.removeprefix(f"{resource}").split("["))
                found.append((resource, leaf, f"{resource.kind}{place}"))
    return found


def test_the_enumerations_that_matter_are_known_as_such(deployed: Deployed) -> None:
    assert set(ENUMERATIONS) <= {place for _, _, place in enumerated(deployed("dev"))}
    single = {place for _, _, place in enumerated(deployed("single"))}
    assert {
        "compute.Address.networkTier",
        "compute.InstanceTemplate.networkInterfaces.accessConfigs.networkTier",
    } <= single


@pytest.mark.parametrize("stack", ["dev", "single", "https", "everything"])
def test_a_misspelt_value_of_any_enumeration_is_noticed(stack: str, deployed: Deployed) -> None:
    for _, leaf, place in enumerated(deployed(stack)):
        assert list(leaf.mistakes()) == [], place
        assert list(dataclasses.replace(leaf, value=f"{leaf.value}X").mistakes()) != [], place


@pytest.mark.parametrize(
    ("kind", "change", "complaint"),
    [
        ("compute.BackendService", {"loadBalancingScheme": "EXTERNAL_MANGED"}, "is none of EXTERNAL, EXTERNAL_MANAGED"),
        ("compute.BackendService", {"timeoutSec": "30"}, "'30' is no integer int32"),
        ("compute.BackendService", {"timeoutSec": 2**31}, "is no integer int32"),
        ("compute.BackendService", {"timeOut": 30}, "the API has no such field"),
        ("compute.BackendService", {"selfLink": "x"}, "only Google sets this field"),
        ("compute.SecurityPolicy", {"rules": [{"action": "deny(429)"}]}, "is none of allow, deny(403), deny(404)"),
        ("compute.InstanceTemplate", {"scheduling": {"provisioningModel": "PREEMPTIBLE"}}, "SPOT"),
        ("compute.InstanceTemplate", {"disks": [{"diskSizeGb": "big"}]}, "is no string int64"),
        ("compute.RegionAutoscaler", {"autoscalingPolicy": {"mode": "on"}}, "is none of"),
        ("monitoring.AlertPolicy", {"alertStrategy": {"autoClose": "1 day"}}, "is no string google-duration"),
        ("monitoring.Dashboard", {"dashboardJson": '{"mosaicLayout": {"tiles": [{"wide": 1}]}}'}, "no such field"),
    ],
)
def test_what_google_would_refuse_is_refused(
    kind: str, change: dict[str, Any], complaint: str, deployed: Deployed
) -> None:
    resource = deployed("dev").of(kind)[0]
    wrong = dataclasses.replace(resource, inputs=change)
    (mistake,) = discovery.mistakes(wrong)
    assert complaint in mistake


def test_a_name_that_is_too_long_is_refused(deployed: Deployed) -> None:
    network = deployed("dev").one("compute.Network")
    wrong = dataclasses.replace(network, outputs={"name": "a" * 64})
    assert "does not match" in discovery.mistakes(wrong)[0]
