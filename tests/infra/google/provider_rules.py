"""What the provider makes of a program's inputs besides provider_kinds.py: data, after the same sources."""

from __future__ import annotations

# Zeros, false and empty texts are not sent (tpgresource.IsEmptyValue in every generated expander, e.g. outlier
# detection in resource_compute_backend_service.go:5631-5649), but for these: kind and input.
SENDS_ZEROS = {
    ("compute.BackendService", "iap"),  # expandComputeBackendServiceIap sends enabled, false as well
    ("compute.InstanceTemplate", "scheduling"),  # expandScheduling sends its fields by ForceSendFields; recorded
    ("compute.Network", "autoCreateSubnetworks"),  # send_empty_value; recorded
    ("compute.RegionInstanceGroupManager", "targetSize"),  # recorded: "targetSize": 0
    ("compute.RegionInstanceGroupManager", "updatePolicy"),  # expandRegionUpdatePolicy; recorded
    ("compute.SecurityPolicy", "rules"),  # expandSecurityPolicyRule; recorded: "preview": false
}

# What Google takes where nothing is sent, for what stands at zero in a program: a zero that is dropped means this.
DEFAULTS: dict[tuple[str, str], tuple[object, str]] = {
    ("compute.BackendService", "outlierDetection.enforcingSuccessRate"): (
        100, "API reference of OutlierDetection: defaults to 100; finding B8"
    ),
    ("compute.BackendService", "outlierDetection.enforcingConsecutiveGatewayFailure"): (
        100, "API reference of OutlierDetection: defaults to 100 for EXTERNAL_MANAGED"
    ),
    ("compute.BackendService", "outlierDetection.consecutiveErrors"): (5, "API reference of OutlierDetection"),
    ("compute.BackendService", "outlierDetection.maxEjectionPercent"): (50, "API reference of OutlierDetection"),
    ("compute.RegionAutoscaler", "autoscalingPolicy.cooldownPeriod"): (60, "API reference of AutoscalingPolicy"),
}  # fmt: skip

# Inputs that stay as they are when a program leaves them out: taking one away changes nothing, at Google neither.
# The value says what that does to people, where it does anything.
KEEPS: dict[tuple[str, str], str] = {
    # Optional and Computed; recorded: chain-fixed, from od-fixed to od-scaled.
    ("compute.RegionInstanceGroupManager", "targetSize"): "",
    ("compute.RegionInstanceGroupManager", "instanceLifecyclePolicy"): "",
    ("compute.RegionInstanceGroupManager", "distributionPolicyTargetShape"): "",
    # terraform-provider-google#19596 ("enabled iap can't be disabled"), magic-modules#18840; recorded (from-iap):
    # no key differs, and the next PUT still says enabled. A program must say `enabled: false` (as
    # cloud-foundation-fabric#4139 does).
    ("compute.BackendService", "iap"): "everybody is still asked to sign in",
    # Recorded: moves1, to-loglevel.
    ("compute.BackendService", "logConfig.sampleRate"): "",
}

# Inputs that steer the provider and are never sent; a change of them alone is an update without a call.
VIRTUAL = {
    ("compute.RegionInstanceGroupManager", "waitForInstances"),
    ("compute.RegionInstanceGroupManager", "waitForInstancesStatus"),
    ("projects.Service", "disableOnDestroy"),
}

# Keys that a plan shows besides those that differ, when the resource is replaced: recorded.
SHOWN_AS_WELL: dict[str, tuple[str, ...]] = {
    "compute.InstanceTemplate": ("disks.labels", "disks.resourceManagerTags"),
    "compute.Subnetwork": ("__meta",),
}

# Updates that fail half-way and after which the state has the new inputs all the same: no d.Partial in their source
# (resource_compute_security_policy.go; recorded: drift, rule-added-by-hand).
KEEPS_A_FAILED_UPDATE = ("compute.SecurityPolicy",)

# Minutes: the create time-out's default, which ends the wait of updates too, whatever Pulumi's timeouts say
# (region_instance_group_manager.go:45,1096; finding B2), and what one batch of an update takes (finding B2).
WAIT_MINUTES = 15
BATCH_MINUTES = 3

# Deletions that ask for something.
DELETE_QUERY = {"monitoring.NotificationChannel": "?force=false"}
# Kinds of which Google keeps what Pulumi deletes: APIs stay on (disableOnDestroy), identities stay.
STAYS = ("projects.Service", "projects.ServiceIdentity")
