"""What a group's machines are made of: a part of the fleet (fleet.py)."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.plans import GroupPlan
from infra.settings import Settings


@dataclass(frozen=True)
class Machine:
    """What every machine of a stack has: its start-up script, its network, its account, perhaps an address."""

    user_data: str
    subnetwork: pulumi.Input[str]
    account_email: pulumi.Input[str]
    address: pulumi.Input[str] | None = None


def instance_template(
    name: str, settings: Settings, plan: GroupPlan, machine: Machine, options: pulumi.ResourceOptions
) -> gcp.compute.InstanceTemplate:
    """Register the template of a group's machines."""
    # No explicit name here: a template is replaced by a new one beside it, and two cannot have the same name.
    return gcp.compute.InstanceTemplate(
        name,
        machine_type=settings.machine_type,
        can_ip_forward=False,
        disks=[
            gcp.compute.InstanceTemplateDiskArgs(
                boot=True,
                auto_delete=True,
                source_image=settings.machine_image,
                disk_type=settings.disk_type,
                disk_size_gb=settings.disk_gb,
            )
        ],
        network_interfaces=[
            gcp.compute.InstanceTemplateNetworkInterfaceArgs(
                subnetwork=machine.subnetwork, access_configs=_access(machine.address)
            )
        ],
        service_account=gcp.compute.InstanceTemplateServiceAccountArgs(
            # The scope that Google advises: what the machine may do is said by its roles alone.
            email=machine.account_email,
            scopes=["https://www.googleapis.com/auth/cloud-platform"],
        ),
        scheduling=_scheduling(plan),
        shielded_instance_config=gcp.compute.InstanceTemplateShieldedInstanceConfigArgs(
            enable_secure_boot=True, enable_vtpm=True, enable_integrity_monitoring=True
        ),
        metadata={
            "user-data": machine.user_data,
            "google-logging-enabled": "true",
            "google-monitoring-enabled": "true",
            "enable-oslogin": "TRUE",
            "block-project-ssh-keys": "TRUE",
            # Updates come with new machines; a restart in the middle of the day is not wanted.
            "cos-update-strategy": "update_disabled",
            # Another date makes another template, and so new machines with the system's newest release.
            **({"refreshed": settings.refreshed} if settings.refreshed else {}),
        },
        labels={"app": "classifier", "stack": settings.stack, "kind": plan.name},
        opts=options,
    )


def _access(address: pulumi.Input[str] | None) -> list[gcp.compute.InstanceTemplateNetworkInterfaceAccessConfigArgs]:
    """Return the external address: none in a fleet."""
    if address is None:
        return []
    return [gcp.compute.InstanceTemplateNetworkInterfaceAccessConfigArgs(nat_ip=address, network_tier="PREMIUM")]


def _scheduling(plan: GroupPlan) -> gcp.compute.InstanceTemplateSchedulingArgs:
    if plan.spot:
        return gcp.compute.InstanceTemplateSchedulingArgs(
            provisioning_model="SPOT",
            preemptible=True,
            automatic_restart=False,
            on_host_maintenance="TERMINATE",
            instance_termination_action="STOP",
        )
    return gcp.compute.InstanceTemplateSchedulingArgs(
        provisioning_model="STANDARD", preemptible=False, automatic_restart=True, on_host_maintenance="MIGRATE"
    )
