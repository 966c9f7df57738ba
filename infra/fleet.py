"""The machines: a template, a regional group that heals itself, an autoscaler; once for each kind of machine."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra import container
from infra.instance_template import Machine, instance_template
from infra.plans import GroupPlan, plans
from infra.settings import Settings

PORT_NAME = "http"

# From the request for a machine to its first answer: some 30 s for the system, 10 s to pull the image, 1 s to load
# (docs/container.md; the machine's part is assumed), and room for a slow day.
WARM_UP_SEC = 90
# Autohealing leaves a new machine alone for this long.
INITIAL_DELAY_SEC = 300
_SCALE_IN_WINDOW_SEC = 600


class Fleet(pulumi.ComponentResource):
    """All groups of machines, and the one probe that decides about their replacement."""

    def __init__(self, settings: Settings, machine: Machine, *, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:Fleet", settings.name)
        probe = container.LIVENESS
        # Named for the topology: a fleet that is to become a single machine, on another port, is probed until it goes.
        name = f"{settings.name}-single-alive" if settings.single else f"{settings.name}-alive"
        self.liveness = gcp.compute.HealthCheck(
            name,
            description="Replaces a machine that no longer answers",
            check_interval_sec=probe.interval_sec,
            timeout_sec=probe.timeout_sec,
            healthy_threshold=probe.healthy_threshold,
            unhealthy_threshold=probe.unhealthy_threshold,
            http_health_check=gcp.compute.HealthCheckHttpHealthCheckArgs(port=settings.port, request_path=probe.path),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.groups = [
            Group(settings, plan, machine, liveness=self.liveness.id, parent=self, after=after)
            for plan in plans(settings)
        ]
        # What the names of a group's machines begin with, and the group's own name, which Pulumi makes of it.
        self.base_names = [group.manager.base_instance_name for group in self.groups]
        self.register_outputs({})


class Group(pulumi.ComponentResource):
    """One kind of machines."""

    def __init__(
        self,
        settings: Settings,
        plan: GroupPlan,
        machine: Machine,
        *,
        liveness: pulumi.Input[str],
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource],
    ) -> None:
        name = f"{settings.name}-{plan.name}"
        super().__init__("classifier:infra:Group", name, opts=pulumi.ResourceOptions(parent=parent))
        self.plan = plan
        self.template = instance_template(
            name, settings, plan, machine, pulumi.ResourceOptions(parent=self, depends_on=after)
        )
        self.manager = self._manager(name, settings, liveness)
        if not settings.single:
            # Also where the size is fixed: a group cannot be resized while it has an autoscaler, and Pulumi would
            # remove that only after it has resized the group (412, terraform-google-vm#64).
            _autoscaler(name, settings, plan, self.manager, parent=self)
        self.register_outputs({})

    def _manager(
        self, name: str, settings: Settings, liveness: pulumi.Input[str]
    ) -> gcp.compute.RegionInstanceGroupManager:
        plan = self.plan
        # Spot machines, or the only one: wherever there are some, and none is moved while it runs.
        anywhere = plan.spot or settings.single
        return gcp.compute.RegionInstanceGroupManager(
            name,
            region=settings.region,
            base_instance_name=name,
            # What a new group starts with, so that creating it waits for machines, and what takes a group's place
            # serves before traffic moves. From then on the size is the autoscaler's.
            target_size=plan.min_size,
            distribution_policy_zones=list(settings.zone_names),
            distribution_policy_target_shape="BALANCED" if anywhere else "EVEN",
            versions=[
                gcp.compute.RegionInstanceGroupManagerVersionArgs(instance_template=self.template.self_link_unique)
            ],
            named_ports=[gcp.compute.RegionInstanceGroupManagerNamedPortArgs(name=PORT_NAME, port=settings.port)],
            update_policy=_update_policy(settings, plan),
            auto_healing_policies=gcp.compute.RegionInstanceGroupManagerAutoHealingPoliciesArgs(
                health_check=liveness, initial_delay_sec=INITIAL_DELAY_SEC
            ),
            instance_lifecycle_policy=gcp.compute.RegionInstanceGroupManagerInstanceLifecyclePolicyArgs(
                # A machine that is healed in the middle of an update comes back as the new one.
                force_update_on_repair="YES",
                # A preempted Spot machine is a repair, which Google otherwise tries in its old zone without end. The
                # shape EVEN does not allow it (Google: "Repair a VM in an alternate zone").
                on_repair=gcp.compute.RegionInstanceGroupManagerInstanceLifecyclePolicyOnRepairArgs(
                    allow_changing_zone="YES"
                )
                if anywhere
                else None,
            ),
            # The provider waits for 15 minutes in an update, whatever is set here (TimeoutCreate in its Update).
            wait_for_instances=settings.wait_for_instances,
            wait_for_instances_status="UPDATED",
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=["targetSize"],
                # A new machine beside the old one would wait for the one address for ever.
                delete_before_replace=settings.single or None,
                custom_timeouts=pulumi.CustomTimeouts(create="15m", delete="15m"),
            ),
        )


def _update_policy(settings: Settings, plan: GroupPlan) -> gcp.compute.RegionInstanceGroupManagerUpdatePolicyArgs:
    zones = len(settings.zone_names)
    redistribution = "NONE" if plan.spot or settings.single else "PROACTIVE"
    if settings.single:
        # Two machines cannot have the one address: the old one goes first. Fixed values are 0 or one for each zone.
        return gcp.compute.RegionInstanceGroupManagerUpdatePolicyArgs(
            type="PROACTIVE",
            minimal_action="REPLACE",
            most_disruptive_allowed_action="REPLACE",
            replacement_method="RECREATE",
            max_surge_fixed=0,
            max_unavailable_fixed=zones,
            instance_redistribution_type=redistribution,
        )
    # No machine goes before its successor is healthy, Spot or not: in a shortage the old ones are all there is.
    return gcp.compute.RegionInstanceGroupManagerUpdatePolicyArgs(
        type="PROACTIVE",
        minimal_action="REPLACE",
        most_disruptive_allowed_action="REPLACE",
        replacement_method="SUBSTITUTE",
        max_surge_fixed=plan.surge,
        max_unavailable_fixed=0,
        instance_redistribution_type=redistribution,
    )


def _autoscaler(
    name: str,
    settings: Settings,
    plan: GroupPlan,
    manager: gcp.compute.RegionInstanceGroupManager,
    parent: pulumi.Resource,
) -> None:
    gcp.compute.RegionAutoscaler(
        name,
        region=settings.region,
        target=manager.id,
        autoscaling_policy=gcp.compute.RegionAutoscalerAutoscalingPolicyArgs(
            mode="ON",
            min_replicas=plan.min_size,
            max_replicas=plan.max_size,
            cooldown_period=WARM_UP_SEC,
            load_balancing_utilization=gcp.compute.RegionAutoscalerAutoscalingPolicyLoadBalancingUtilizationArgs(
                target=plan.scale_at
            ),
            scale_in_control=gcp.compute.RegionAutoscalerAutoscalingPolicyScaleInControlArgs(
                max_scaled_in_replicas=gcp.compute.RegionAutoscalerAutoscalingPolicyScaleInControlMaxScaledInReplicasArgs(
                    percent=20
                ),
                time_window_sec=_SCALE_IN_WINDOW_SEC,
            ),
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )
