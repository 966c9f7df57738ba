"""Machines that come, go, and are replaced: the times that must fit into one another, and Spot's rules."""

from __future__ import annotations

from collections.abc import Iterator

from tests.infra import machine
from tests.infra.deployment import Deployment, Resource, values
from tests.infra.invariants.balancer import groups_behind, template_of
from tests.infra.invariants.registry import prevents

# https://cloud.google.com/compute/docs/instances/spot: from the notice to the end of a machine.
SPOT_NOTICE_SEC = 30


def notice_sec(health_check: Resource) -> int:
    """Return the longest time until a machine that says no counts as unhealthy."""
    inputs = health_check.inputs
    return int(inputs["checkIntervalSec"] * inputs["unhealthyThreshold"] + inputs["timeoutSec"])


@prevents
def requests_go_to_a_machine_that_is_gone(deployment: Deployment) -> Iterator[str]:
    """A machine serves on until the balancer has noticed that it leaves, and finishes, before Google ends it.

    Draining does not cover preemption: notice < DRAIN_SEC, and DRAIN_SEC + the longest request < Docker's patience <
    systemd's < 30 s.
    """
    for backend in deployment.of("compute.BackendService"):
        health_check = deployment.referenced(backend, "healthChecks")
        for group in groups_behind(deployment, backend):
            drain = int(machine.of(template_of(deployment, group)).environment["DRAIN_SEC"])
            if not notice_sec(health_check) < drain:
                yield f"{health_check} takes up to {notice_sec(health_check)} s to notice, {group} drains for {drain} s"
    for template in deployment.of("compute.InstanceTemplate"):
        found = machine.of(template)
        drain, longest = (int(found.environment[name]) for name in ("DRAIN_SEC", "REQUEST_TIMEOUT_SEC"))
        (patience,) = (int(value) for value in found.option("--stop-timeout"))
        times = (drain + longest, patience, found.seconds("TimeoutStopSec"), SPOT_NOTICE_SEC)
        if not times[0] < times[1] < times[2] < times[3]:
            yield (
                f"{template}: drain and request {times[0]} s, Docker's patience {times[1]} s, systemd's {times[2]} s, "
                f"Google's {times[3]} s do not grow"
            )


@prevents
def busy_machine_is_replaced(deployment: Deployment) -> Iterator[str]:
    """Replacement is decided by the shallow probe, slowly; readiness only decides about traffic."""
    readiness = [deployment.referenced(backend, "healthChecks") for backend in deployment.of("compute.BackendService")]
    for check in readiness:
        if values(check.inputs, "httpHealthCheck.requestPath") != ["/readyz"]:
            yield f"{check} sends traffic by {values(check.inputs, 'httpHealthCheck.requestPath')}"
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        liveness = deployment.referenced(group, "autoHealingPolicies.healthCheck")
        if values(liveness.inputs, "httpHealthCheck.requestPath") != ["/healthz"]:
            yield f"{group} is healed by {liveness}, which asks {liveness.inputs.get('httpHealthCheck')}"
        for check in readiness:
            if not notice_sec(liveness) > notice_sec(check):
                yield f"{liveness} decides in {notice_sec(liveness)} s, {check} in {notice_sec(check)} s"


@prevents
def machine_is_healed_while_it_starts(deployment: Deployment) -> Iterator[str]:
    """Or endlessly: the group waits for a start, with its pull, before it asks; so does the autoscaler."""
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        (delay,) = values(group.inputs, "autoHealingPolicies.initialDelaySec") or [0]
        scalers = [s for s in deployment.of("compute.RegionAutoscaler") if s.inputs["target"] == group.outputs["id"]]
        warm_up = max([60, *values([s.inputs for s in scalers], "[].autoscalingPolicy.cooldownPeriod")])
        if not delay > warm_up:
            yield f"{group} heals after {delay} s, a start may take {warm_up} s"


@prevents
def fleet_flaps(deployment: Deployment) -> Iterator[str]:
    """An autoscaler waits for new machines to be warm, and gives back a part of the fleet at a time."""
    for scaler in deployment.of("compute.RegionAutoscaler"):
        policy = scaler.inputs["autoscalingPolicy"]
        if not policy.get("cooldownPeriod", 0) >= 60:
            yield f"{scaler} judges new machines after {policy.get('cooldownPeriod')} s"
        (part,) = values(policy, "scaleInControl.maxScaledInReplicas.percent") or [100]
        if not part <= 50 or not values(policy, "scaleInControl.timeWindowSec"):
            yield f"{scaler} may give back {part} % of the machines at once"


@prevents
def probes_are_refused(deployment: Deployment) -> Iterator[str]:
    """Google refuses a probe that may last longer than the interval to the next."""
    for check in deployment.of("compute.HealthCheck"):
        if not check.inputs["timeoutSec"] <= check.inputs["checkIntervalSec"]:
            yield f"{check} may take {check.inputs['timeoutSec']} s, every {check.inputs['checkIntervalSec']} s"


@prevents
def spot_machine_dies_after_a_day(deployment: Deployment) -> Iterator[str]:
    """`preemptible` alone is the old kind, which ends after 24 h; Spot needs all of its flags."""
    spot = {
        "provisioningModel": "SPOT",
        "preemptible": True,
        "automaticRestart": False,
        "onHostMaintenance": "TERMINATE",
        "instanceTerminationAction": "STOP",
    }
    standard = {
        "provisioningModel": "STANDARD",
        "preemptible": False,
        "automaticRestart": True,
        "onHostMaintenance": "MIGRATE",
    }
    for template in deployment.of("compute.InstanceTemplate"):
        scheduling = template.inputs.get("scheduling", {})
        if scheduling not in (spot, standard):
            yield f"{template} is neither Spot nor on-demand: {scheduling}"


@prevents
def spot_machines_are_moved_or_cannot_be_had(deployment: Deployment) -> Iterator[str]:
    """Spot machines go where there are some, and stay; Google refuses to rebalance the shape BALANCED."""
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        spot = values(template_of(deployment, group).inputs, "scheduling.provisioningModel") == ["SPOT"]
        shape = group.inputs.get("distributionPolicyTargetShape")
        (moves,) = values(group.inputs, "updatePolicy.instanceRedistributionType") or ["PROACTIVE"]
        if spot and shape != "BALANCED":
            yield f"{group} of Spot machines has the shape {shape}"
        if shape != "EVEN" and moves != "NONE":
            yield f"{group} of the shape {shape} redistributes by {moves}"


@prevents
def repair_never_finds_a_machine(deployment: Deployment) -> Iterator[str]:
    """A preempted machine is a repair, tried in its old zone for ever unless another is allowed; EVEN allows none."""
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        anywhere = values(group.inputs, "instanceLifecyclePolicy.onRepair.allowChangingZone") == ["YES"]
        shape = group.inputs.get("distributionPolicyTargetShape")
        if anywhere == (shape == "EVEN"):
            yield f"{group} of the shape {shape} repairs in {'any zone' if anywhere else 'the same zone only'}"


@prevents
def no_machine_is_left(deployment: Deployment) -> Iterator[str]:
    """Some group keeps a machine at all times, in zones of the stack's region."""
    groups = deployment.of("compute.RegionInstanceGroupManager")
    if not groups:
        if deployment.setting("image"):
            yield "there is an image and no group of machines"
        return
    least = [group.inputs.get("targetSize") or 0 for group in groups]
    least += values([s.inputs for s in deployment.of("compute.RegionAutoscaler")], "[].autoscalingPolicy.minReplicas")
    if not sum(least) >= 1:
        yield f"the groups together keep {sum(least)} machines"
    region = deployment.config["gcp:region"]
    for group in groups:
        zones = group.inputs.get("distributionPolicyZones", [])
        if not zones or not all(zone.startswith(f"{region}-") for zone in zones):
            yield f"{group} is spread over {zones}, the region is {region}"
