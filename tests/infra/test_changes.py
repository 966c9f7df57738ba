"""What one change of the configuration does to a running stack: this much and no more."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import Deployed
from tests.infra.deployment import UNKNOWN, Deployment, changes, values, walk
from tests.infra.engine import Engine
from tests.infra.mutations import Mutation
from tests.infra.stacks import ALLOWLIST, DIGEST, OTHER_DIGEST, PROJECT, STACKS, deploy, image

pytestmark = pytest.mark.slow


def changed(engine: Engine, deployed: Deployed, stack: str, **more: Any) -> dict[str, set[str]]:
    """Return what changes when settings are set in a stack that runs."""
    return changes(deployed(stack), deploy(engine, STACKS[stack], **more))


@pytest.mark.parametrize("stack", ["dev", "prod", "single", "https", "iap", "spot-off", "everything"])
def test_a_new_digest_changes_only_the_templates_and_the_groups_versions(
    stack: str, engine: Engine, deployed: Deployed
) -> None:
    """A template cannot change, so it is replaced; its group keeps its machines and gets a new version."""
    found = changed(engine, deployed, stack, image=image(STACKS[stack].name, OTHER_DIGEST))
    groups = {group.name for group in deployed(stack).of("compute.RegionInstanceGroupManager")}
    assert found == {
        **{f"compute.InstanceTemplate {name!r}": {"metadata.user-data"} for name in groups},
        **{f"compute.RegionInstanceGroupManager {name!r}": {"versions[0].instanceTemplate"} for name in groups},
    }


def test_a_digest_that_gets_anywhere_else_is_noticed(engine: Engine, tmp_path: Path) -> None:
    leak = Mutation(
        "", "infra/fleet.py", "dev",
        "            base_instance_name=name,\n",
        '            base_instance_name=f"{name}-{settings.image[-2:]}",\n',
    )  # fmt: skip
    project = leak.apply(PROJECT, tmp_path)
    before, after = (
        deploy(engine, STACKS["dev"], project=project, image=image("dev", digest)) for digest in (DIGEST, OTHER_DIGEST)
    )
    found = changes(before, after)
    assert "baseInstanceName" in found["compute.RegionInstanceGroupManager 'classifier-dev-spot'"]


def test_the_preview_of_a_new_digest_shows_the_same(engine: Engine, deployed: Deployed) -> None:
    """The new template's link is what is not known yet."""
    preview = deploy(engine, STACKS["dev"], preview=True, before=deployed("dev"), image=image("dev", OTHER_DIGEST))
    assert changes(deployed("dev"), preview).keys() == {
        "compute.InstanceTemplate 'classifier-dev-spot'",
        "compute.RegionInstanceGroupManager 'classifier-dev-spot'",
    }
    assert values(preview.one("compute.RegionInstanceGroupManager").inputs, "versions[].instanceTemplate") == [UNKNOWN]


@pytest.mark.parametrize("stack", STACKS)
def test_a_second_deployment_changes_nothing(stack: str, engine: Engine, deployed: Deployed) -> None:
    """No random name, no time of day, no order of a set gets into a resource."""
    again = deploy(engine, STACKS[stack])
    assert changes(deployed(stack), again) == {}
    assert again.outputs == deployed(stack).outputs


@pytest.mark.parametrize("stack", ["dev", "single"])
def test_the_first_image_only_adds_to_the_foundations(stack: str, engine: Engine, deployed: Deployed) -> None:
    """What holds the image that was just pushed is not touched."""
    foundations = deploy(engine, STACKS[stack], image="")
    assert set().union(*changes(foundations, deployed(stack)).values()) == {"+"}


def test_the_foundations_hold_no_machine(deployed: Deployed) -> None:
    made = {resource.kind for resource in deployed("foundations").custom}
    assert made == {
        "artifactregistry.Repository", "artifactregistry.RepositoryIamMember", "compute.Firewall",
        "compute.GlobalAddress", "compute.Network", "compute.Subnetwork", "dns.ManagedZone", "dns.RecordSet",
        "logging.Metric",
        "projects.IAMMember", "projects.Service", "serviceaccount.Account",
    }  # fmt: skip


def test_a_longer_allowlist_changes_only_the_policy(engine: Engine, deployed: Deployed) -> None:
    longer = [*ALLOWLIST, "192.0.2.0/24"]
    fleet = changed(engine, deployed, "dev", allowlist=longer)
    assert fleet == {"compute.SecurityPolicy 'classifier-dev'": {"rules[0].match.config.srcIpRanges[2]"}}
    single = changed(engine, deployed, "single", allowlist=longer)
    assert single == {"compute.Firewall 'classifier-dev-allowlist'": {"sourceRanges[2]"}}


def test_a_further_domain_adds_a_certificate_and_leaves_the_others(engine: Engine, deployed: Deployed) -> None:
    found = changed(engine, deployed, "https", domains=["classify.example.com", "example.org", "example.net"])
    (added,) = [name for name, paths in found.items() if paths == {"+"}]
    assert added.startswith("compute.ManagedSslCertificate 'classifier-dev-example-net")
    assert {name: paths for name, paths in found.items() if name != added} == {
        "compute.TargetHttpsProxy 'classifier-dev'": {"sslCertificates[2]", "dependencies"},
    }


def test_more_machines_touch_no_machine_that_runs(engine: Engine, deployed: Deployed) -> None:
    larger = changed(engine, deployed, "dev", spotMax=10)
    assert {name: paths for name, paths in larger.items() if not name.startswith("monitoring.")} == {
        "compute.RegionAutoscaler 'classifier-dev-spot'": {"autoscalingPolicy.maxReplicas"},
    }
    base = changed(engine, deployed, "dev", onDemandMin=3, onDemandMax=3)
    assert {name: paths for name, paths in base.items() if paths != {"+"} and not name.startswith("monitoring.")} == {
        "compute.BackendService 'classifier-dev'": {"dependencies", *_backend_paths()},
    }
    assert {name for name, paths in base.items() if paths == {"+"}} == {
        "classifier:infra:Group 'classifier-dev-on-demand'",
        "compute.InstanceTemplate 'classifier-dev-on-demand'",
        "compute.RegionAutoscaler 'classifier-dev-on-demand'",
        "compute.RegionInstanceGroupManager 'classifier-dev-on-demand'",
    }


def _backend_paths() -> set[str]:
    """The on-demand group stands first, so that the Spot group's place in the list moves."""
    second = {f"backends[1].{key}" for key in ("balancingMode", "capacityScaler", "group", "maxRatePerInstance")}
    return {"backends[0].group", *second}


def test_another_topology_changes_nothing_that_the_old_one_serves_by(deployed: Deployed) -> None:
    """The old machines are probed and reached at their port until they go: what both share does not change."""
    for before, after in (("dev", "single"), ("single", "dev")):
        found = changes(deployed(before), deployed(after))
        touched = {name: paths for name, paths in found.items() if not paths & {"+", "-"}}
        kinds = {name.split(" ")[0] for name in touched}
        assert kinds <= {"pulumi:pulumi:Stack", "monitoring.Dashboard"}, touched


CHAIN = (
    "compute.GlobalForwardingRule", "compute.TargetHttpProxy", "compute.URLMap", "compute.BackendService",
    "compute.RegionInstanceGroupManager", "compute.InstanceTemplate", "compute.Subnetwork", "compute.Network",
    "projects.Service",
)  # fmt: skip


def destroy_order(deployment: Deployment) -> list[str]:
    """Return URNs in an order in which Pulumi may delete: nothing before all that depends on it, or is inside it.

    Of those that may go, the one that the most others need goes first, which is the least lucky choice.
    """
    users: dict[str, set[str]] = {urn: set() for urn in deployment.by_urn}
    for resource in deployment.resources:
        for urn in {*resource.dependencies, *([resource.parent] if resource.parent else [])}:
            users[urn].add(resource.urn)
    weight = {urn: len(needed) for urn, needed in users.items()}
    order: list[str] = []
    while users:
        free = [urn for urn, needed in users.items() if not needed]
        chosen = max(free, key=lambda urn: (weight[urn], urn))
        order.append(chosen)
        del users[chosen]
        for needed in users.values():
            needed.discard(chosen)
    return order


@pytest.mark.parametrize("stack", STACKS)
def test_everything_can_be_destroyed_in_an_order_in_which_nothing_is_in_use(stack: str, deployed: Deployed) -> None:
    """Whatever another resource's inputs refer to is deleted after it, also in the least lucky order."""
    deployment = deployed(stack)
    place = {urn: number for number, urn in enumerate(destroy_order(deployment))}
    assert place.keys() == deployment.by_urn.keys(), "a circle of dependencies"
    in_use = []
    for owner in deployment.custom:
        # A name alone may be another's too.
        links = owner.identifiers - {owner.outputs.get("name")}
        for user in deployment.custom:
            used = links & {value for _, value in walk(user.inputs) if isinstance(value, str)}
            if used and user is not owner and place[owner.urn] < place[user.urn]:
                in_use.append(f"{owner} goes before {user}")
    assert in_use == []


def test_the_balancer_goes_from_its_front_to_the_machines(deployed: Deployed) -> None:
    """forwarding rule -> proxy -> URL map -> backend service -> group -> template -> network (installer#10584)."""
    deployment = deployed("dev")
    for first, second in itertools.pairwise(CHAIN):
        for resource in deployment.of(first):
            below = {deployment.by_urn[urn].kind for urn in deployment.upstream(resource)}
            assert second in below, f"{resource} does not depend on a {second}"
            assert first not in {
                deployment.by_urn[urn].kind for other in deployment.of(second) for urn in deployment.upstream(other)
            }


def test_a_template_s_replacement_is_made_before_the_old_one_goes(engine: Engine, deployed: Deployed) -> None:
    """The new template has another name and another unique link, and the group points at it."""
    before = deployed("dev")
    after = deploy(engine, STACKS["dev"], image=image("dev", OTHER_DIGEST))
    old, new = (run.one("compute.InstanceTemplate") for run in (before, after))
    assert old.urn == new.urn
    assert old.outputs["name"] != new.outputs["name"]
    assert "deleteBeforeReplace" not in new.options
    group = after.one("compute.RegionInstanceGroupManager")
    assert values(group.inputs, "versions[].instanceTemplate") == [new.outputs["selfLinkUnique"]]
