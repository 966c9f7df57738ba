"""What a build deploys needs no right that its account lacks: each resource that it touches against its roles."""

from __future__ import annotations

from typing import Any

import pytest

from infra.names import DEPLOYED_COMPONENTS
from infra.pipeline import DEPLOYER_ROLES
from tests.infra.conftest import Deployed
from tests.infra.deployment import Resource
from tests.infra.engine import Engine
from tests.infra.stacks import STACKS, VARIATIONS, deploy

# By which role an account may make, change and delete a kind, of the roles that this program grants
# (Google: "IAM roles and permissions index"; seen to suffice in runs of the real provider, 2026-11). A kind that none
# of them covers is one of the foundations.

pytestmark = pytest.mark.slow

MAKES = {
    "compute.BackendService": "roles/compute.loadBalancerAdmin",
    "compute.Firewall": "roles/compute.securityAdmin",
    "compute.GlobalForwardingRule": "roles/compute.loadBalancerAdmin",
    "compute.HealthCheck": "roles/compute.loadBalancerAdmin",
    "compute.InstanceTemplate": "roles/compute.instanceAdmin.v1",
    "compute.ManagedSslCertificate": "roles/compute.loadBalancerAdmin",
    "compute.RegionAutoscaler": "roles/compute.instanceAdmin.v1",
    "compute.RegionInstanceGroupManager": "roles/compute.instanceAdmin.v1",
    "compute.SSLPolicy": "roles/compute.loadBalancerAdmin",
    "compute.SecurityPolicy": "roles/compute.securityAdmin",
    "compute.TargetHttpProxy": "roles/compute.loadBalancerAdmin",
    "compute.TargetHttpsProxy": "roles/compute.loadBalancerAdmin",
    "compute.URLMap": "roles/compute.loadBalancerAdmin",
    "monitoring.AlertPolicy": "roles/monitoring.alertPolicyEditor",
    "monitoring.Dashboard": "roles/monitoring.dashboardEditor",
    "monitoring.UptimeCheckConfig": "roles/monitoring.uptimeCheckConfigEditor",
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    name: (name, {}) for name in STACKS if name != "foundations"
} | VARIATIONS


def first_deployment(engine: Engine, case: str) -> tuple[tuple[Resource, ...], list[Resource]]:
    """Return the foundations, and what an image adds to them: what a build makes, at its first deployment."""
    stack, more = CASES[case]
    before = deploy(engine, STACKS[stack], **{**more, "image": ""})
    after = deploy(engine, STACKS[stack], **more)
    assert (before.exit_code, after.exit_code) == (0, 0)
    added = [resource for urn, resource in after.by_urn.items() if resource.custom and urn not in before.by_urn]
    return before.custom, added


@pytest.mark.parametrize("case", [name for name in CASES if name in STACKS])
def test_a_build_may_make_all_that_an_image_adds_to_the_foundations(case: str, engine: Engine) -> None:
    _, added = first_deployment(engine, case)
    needed = {resource.kind: MAKES.get(resource.kind, "no role of the deployer's") for resource in added}
    assert {kind: role for kind, role in needed.items() if role not in DEPLOYER_ROLES} == {}


def test_a_build_s_refresh_is_of_just_what_an_image_adds_to_the_foundations(engine: Engine) -> None:
    """One component that is missing, and drift in it stays; one too many, and the account may not read it."""
    unused = set(DEPLOYED_COMPONENTS)
    for case in ("everything", "single"):
        foundations, added = first_deployment(engine, case)
        for resource in (*foundations, *added):
            within = {name for name in DEPLOYED_COMPONENTS if f"classifier:infra:{name}$" in resource.urn}
            assert len(within) == (resource in added), resource.urn
            unused -= within
    assert not unused


def test_no_role_is_granted_that_nothing_needs() -> None:
    """Besides what makes resources: to write the build's log, and to change channels with the addresses of alerts."""
    assert set(DEPLOYER_ROLES) - set(MAKES.values()) == {
        "roles/logging.logWriter", "roles/monitoring.notificationChannelEditor",
    }  # fmt: skip


def test_what_people_prepare_is_there_before_the_first_image(deployed: Deployed) -> None:
    """Addresses, registry, metric, certificates that DNS proves, budget and sign-in are foundations."""
    for stack, kinds in {
        "dev": {"compute.GlobalAddress", "artifactregistry.Repository", "logging.Metric"},
        "single": {"compute.Address"},
        "dns-certificates": {"certificatemanager.Certificate", "certificatemanager.DnsAuthorization"},
        "everything": {"billing.Budget", "monitoring.NotificationChannel"},
    }.items():
        assert kinds <= {resource.kind for resource in deployed(stack).custom}, stack
        assert not kinds & MAKES.keys(), "a build may not touch them"
