"""Updates, replacements and deletions that go through, without a gap."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.infra import machine
from tests.infra.deployment import IDENTIFIERS, Deployment, Resource, values, walk
from tests.infra.invariants.balancer import template_of
from tests.infra.invariants.registry import prevents

# Kinds of whose explicit name no replacement can be made beside the old one, though others refer to them, and that a
# change of configuration does replace. A template, and all that it is made of, is the case that happens every week.
_NAMED_BY_PULUMI = (
    "compute.Address", "compute.BackendService", "compute.Firewall", "compute.GlobalAddress",
    "compute.GlobalForwardingRule", "compute.HealthCheck", "compute.InstanceTemplate", "compute.ManagedSslCertificate",
    "compute.Network", "compute.RegionInstanceGroupManager", "compute.SSLPolicy", "compute.SecurityPolicy",
    "compute.Subnetwork", "compute.TargetHttpProxy", "compute.TargetHttpsProxy", "compute.URLMap", "dns.ManagedZone",
)  # fmt: skip


@prevents
def name_is_already_in_use(deployment: Deployment) -> Iterator[str]:
    """An explicit name forces deletion before creation, of what is in use (pulumi-gcp#680, pulumi#8779)."""
    for resource in deployment.custom:
        for key in ("name", "namePrefix"):
            if resource.kind in _NAMED_BY_PULUMI and resource.inputs.get(key) is not None:
                yield f"{resource} has an explicit {key}, {resource.inputs[key]}"


@prevents
def template_is_deleted_while_machines_run_from_it(deployment: Deployment) -> Iterator[str]:
    """But for the group of the one machine: its successor needs the address, and would wait for it for ever."""
    single = deployment.setting("topology") == "single"
    for resource in deployment.custom:
        if resource.kind not in _NAMED_BY_PULUMI:
            continue
        first = bool(resource.options.get("deleteBeforeReplace"))
        if first != (single and resource.kind == "compute.RegionInstanceGroupManager"):
            yield f"{resource} is deleted {'before' if first else 'after'} its replacement is there"


@prevents
def update_is_refused_for_its_surge(deployment: Deployment) -> Iterator[str]:
    """In a regional group fixed numbers are 0 or at least the number of zones, and not both 0."""
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        zones = len(group.inputs.get("distributionPolicyZones", []))
        policy = group.inputs.get("updatePolicy", {})
        surge, missing = policy.get("maxSurgeFixed", 0), policy.get("maxUnavailableFixed", 0)
        if any(0 < number < zones for number in (surge, missing)) or surge == missing == 0:
            yield f"{group} in {zones} zones has a surge of {surge} and lacks {missing}"


@prevents
def capacity_is_lost_during_an_update(deployment: Deployment) -> Iterator[str]:
    """In a fleet new machines come first, by themselves. The one machine with an address goes before its successor."""
    single = deployment.setting("topology") == "single"
    method = "RECREATE" if single else "SUBSTITUTE"
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        policy = group.inputs.get("updatePolicy", {})
        found = [policy.get(key) for key in ("type", "minimalAction", "replacementMethod")]
        if found != ["PROACTIVE", "REPLACE", method]:
            yield f"{group} updates by {found}"
        if not single and policy.get("maxUnavailableFixed") != 0:
            yield f"{group} may lack {policy.get('maxUnavailableFixed')} machines"
        if values(group.inputs, "instanceLifecyclePolicy.forceUpdateOnRepair") != ["YES"]:
            yield f"{group} heals machines back to the old image in the middle of an update"


@prevents
def bad_image_looks_deployed(deployment: Deployment) -> Iterator[str]:
    """A deployment waits until the new machines are healthy; where it does not, the pipeline does."""
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        waits = (group.inputs.get("waitForInstances"), group.inputs.get("waitForInstancesStatus"))
        if waits != (deployment.setting("waitForInstances"), "UPDATED"):
            yield f"{group} waits by {waits}"
        if "create" not in group.options.get("customTimeouts", {}):
            yield f"{group} waits for the provider's default time to be made"


@prevents
def update_takes_hours(deployment: Deployment) -> Iterator[str]:
    """Batches of some three minutes fit into the hour that the pipeline waits for."""
    for scaler in deployment.of("compute.RegionAutoscaler"):
        group = deployment.referenced(scaler, "target")
        most = scaler.inputs["autoscalingPolicy"]["maxReplicas"]
        surge = group.inputs["updatePolicy"]["maxSurgeFixed"]
        if not most <= 20 * surge:
            yield f"{group} updates {most} machines in batches of {surge}"


@prevents
def deployment_waits_for_machines_that_nothing_lets_start(deployment: Deployment) -> Iterator[str]:
    """Machines are made after their rights, their way to the image, and the opening for the probes."""
    needed = [
        resource
        for resource in deployment.custom
        if (
            resource.kind in ("artifactregistry.RepositoryIamMember", "projects.IAMMember", "dns.RecordSet")
            and (resource.kind == "dns.RecordSet" or _is_for_machines(deployment, resource))
        )
        or (resource.kind == "compute.Firewall" and resource.inputs.get("allows") and not _for_people(resource))
    ]
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        for resource in needed:
            if resource.urn not in deployment.upstream(group):
                yield f"{group} may be made before {resource}"


def _is_for_machines(deployment: Deployment, grant: Resource) -> bool:
    accounts = {
        email for t in deployment.of("compute.InstanceTemplate") for email in values(t.inputs, "serviceAccount.email")
    }
    return grant.inputs.get("member", "").removeprefix("serviceAccount:") in accounts


def _for_people(firewall: Resource) -> bool:
    """Return whether a rule opens the way for people only, whom no machine waits for."""
    return "35.191.0.0/16" not in firewall.inputs.get("sourceRanges", []) and firewall.inputs["direction"] == "INGRESS"


@prevents
def fleet_runs_another_image_than_was_tested(deployment: Deployment) -> Iterator[str]:
    """Machines run the configured image, by digest; a tag could move under a running fleet."""
    for template in deployment.of("compute.InstanceTemplate"):
        image = machine.of(template).image
        if not re.search(r"@sha256:[0-9a-f]{64}$", image) or image != deployment.setting("image"):
            yield f"{template} runs {image}, configured is {deployment.setting('image')}"


@prevents
def group_keeps_the_old_template(deployment: Deployment) -> Iterator[str]:
    """A template's unique link changes with each replacement, also where a name were to come back."""
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        template = template_of(deployment, group)
        links = values(group.inputs, "versions[].instanceTemplate")
        if links != [template.outputs["selfLinkUnique"]]:
            yield f"{group} refers to {links}, not to the unique link of {template}"


@prevents
def size_and_autoscaler_undo_each_other(deployment: Deployment) -> Iterator[str]:
    """A group starts with its smallest size, which is the autoscaler's from then on, also where it is fixed.

    Without a size the first deployment waits for nothing, and a group that takes another's place is empty when traffic
    moves. A size that changes is refused while there is an autoscaler (412, terraform-google-vm#64).
    """
    scalers = deployment.of("compute.RegionAutoscaler")
    single = deployment.setting("topology") == "single"
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        scaled = [scaler for scaler in scalers if scaler.inputs["target"] == group.outputs["id"]]
        least = [scaler.inputs["autoscalingPolicy"]["minReplicas"] for scaler in scaled]
        if len(scaled) != (0 if single else 1):
            yield f"{group} has {len(scaled)} autoscalers"
        if [group.inputs.get("targetSize")] != (least or [1]):
            yield f"{group} starts with {group.inputs.get('targetSize')} machines, its autoscaler with {least}"
        if scaled and "targetSize" not in group.options.get("ignoreChanges", []):
            yield f"{group} is resized against its autoscaler"
    for scaler in scalers:
        low, high = (scaler.inputs["autoscalingPolicy"][key] for key in ("minReplicas", "maxReplicas"))
        if not 1 <= low <= high:
            yield f"{scaler} scales from {low} to {high}"


@prevents
def destroy_takes_an_api_from_the_whole_project(deployment: Deployment) -> Iterator[str]:
    for service in deployment.of("projects.Service"):
        if service.inputs.get("disableOnDestroy") is not False:
            yield f"{service} is disabled when the stack goes"


# The API that makes the resources of a module of the SDK.
_APIS = {
    "artifactregistry": "artifactregistry", "billing": "billingbudgets", "certificatemanager": "certificatemanager",
    "cloudbuild": "cloudbuild", "cloudbuildv2": "cloudbuild", "cloudscheduler": "cloudscheduler",
    "compute": "compute", "dns": "dns", "iap": "iap", "kms": "cloudkms",
    "logging": "logging", "monitoring": "monitoring", "projects": "cloudresourcemanager", "pubsub": "pubsub",
    "secretmanager": "secretmanager", "serviceaccount": "iam", "storage": "storage",
}  # fmt: skip

# Grants on the bucket and the key that hold Pulumi's state: both are older than any stack, and so are their APIs.
_OLDER_THAN_THE_STACK = ("kms.CryptoKeyIAMMember", "storage.BucketIAMMember")


@prevents
def resource_is_made_before_its_api_is_on(deployment: Deployment) -> Iterator[str]:
    """Enabling an API takes a while, and what comes too early fails (pulumi-gcp#992)."""
    services = {service.inputs["service"]: service.urn for service in deployment.of("projects.Service")}
    for resource in deployment.custom:
        module = resource.kind.split(".", maxsplit=1)[0]
        if resource.kind in ("projects.Service", *_OLDER_THAN_THE_STACK) or resource.type.startswith("pulumi:"):
            continue
        api = f"{_APIS.get(module, module)}.googleapis.com"
        if resource.kind == "projects.ServiceIdentity":
            api = resource.inputs["service"]
        if api not in services:
            yield f"{resource} needs {api}, which the stack does not enable"
        elif services[api] not in deployment.upstream(resource):
            yield f"{resource} does not wait for {api}"


@prevents
def destroy_is_refused_for_what_is_in_use(deployment: Deployment) -> Iterator[str]:
    """Pulumi deletes in reverse order of dependencies, so whatever a resource refers to it must depend on.

    A reference is found by its value: a name or link of another resource that stands in the inputs.
    """
    owners = {}
    for resource in deployment.custom:
        for key in IDENTIFIERS:
            value = resource.outputs.get(key)
            # A name counts where it is unmistakable: made by Pulumi, or a whole path or address.
            if isinstance(value, str) and (key != "name" or re.search(r"-[0-9a-f]{7}$", value)):
                owners[value] = resource
    for resource in deployment.custom:
        upstream = deployment.upstream(resource)
        for path, value in walk(resource.inputs):
            for identifier, owner in owners.items() if isinstance(value, str) else ():
                if identifier in value and owner.urn != resource.urn and owner.urn not in upstream:
                    yield f"{resource}.{path} refers to {owner} without depending on it"
