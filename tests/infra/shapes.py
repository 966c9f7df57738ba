"""What Google's APIs call the resources and inputs of the provider; discovery.py holds the inputs against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# An input that no field of the API's resource corresponds to,
NOT_IN_THE_API = ""
# because it names the resource, or its place, in the address of the request,
_IN_THE_ADDRESS = NOT_IN_THE_API
PLACES = ("location", "project", "region")
# or is set by a request of its own,
_BY_ANOTHER_REQUEST = NOT_IN_THE_API
# or tells the provider how to work.
_IN_THE_PROVIDER = NOT_IN_THE_API


@dataclass(frozen=True)
class Shape:
    """Which schema of which API a kind of resource has; `renamed` maps beginnings of paths to the API's."""

    api: str
    version: str
    schema: str
    renamed: Mapping[str, str] = field(default_factory=dict)


def _compute(schema: str, **renamed: str) -> Shape:
    return Shape("compute", "v1", schema, renamed)


SHAPES = {
    "artifactregistry.Repository": Shape("artifactregistry", "v1", "Repository", {"repositoryId": _IN_THE_ADDRESS}),
    "billing.Budget": Shape(
        "billingbudgets",
        "v1",
        "GoogleCloudBillingBudgetsV1Budget",
        {"allUpdatesRule": "notificationsRule", "billingAccount": _IN_THE_ADDRESS},
    ),
    "cloudbuild.Trigger": Shape(
        "cloudbuild",
        "v1",
        "BuildTrigger",
        {"ignoredFiles": "ignoredFiles", "includedFiles": "includedFiles", "substitutions": "substitutions"},
    ),
    "certificatemanager.Certificate": Shape("certificatemanager", "v1", "Certificate"),
    "certificatemanager.CertificateMap": Shape("certificatemanager", "v1", "CertificateMap"),
    "certificatemanager.CertificateMapEntry": Shape(
        "certificatemanager", "v1", "CertificateMapEntry", {"map": _IN_THE_ADDRESS}
    ),
    "certificatemanager.DnsAuthorization": Shape("certificatemanager", "v1", "DnsAuthorization"),
    "cloudscheduler.Job": Shape("cloudscheduler", "v1", "Job"),
    "pubsub.Topic": Shape("pubsub", "v1", "Topic"),
    "cloudbuildv2.Connection": Shape("cloudbuild", "v2", "Connection"),
    "cloudbuildv2.Repository": Shape("cloudbuild", "v2", "Repository", {"parentConnection": _IN_THE_ADDRESS}),
    "compute.Address": _compute("Address"),
    "compute.BackendService": _compute(
        "BackendService",
        connectionDrainingTimeoutSec="connectionDraining.drainingTimeoutSec",
        securityPolicy=_BY_ANOTHER_REQUEST,
    ),
    "compute.Firewall": Shape(
        "compute",
        "v1",
        "Firewall",
        {
            "allows[].protocol": "allowed[].IPProtocol",
            "allows": "allowed",
            "denies[].protocol": "denied[].IPProtocol",
            "denies": "denied",
        },
    ),
    "compute.GlobalAddress": _compute("Address"),
    "compute.GlobalForwardingRule": _compute("ForwardingRule", ipAddress="IPAddress", ipProtocol="IPProtocol"),
    "compute.HealthCheck": _compute("HealthCheck"),
    "compute.InstanceTemplate": Shape(
        "compute",
        "v1",
        "InstanceProperties",
        {
            "disks[].diskSizeGb": "disks[].initializeParams.diskSizeGb",
            "disks[].diskType": "disks[].initializeParams.diskType",
            "disks[].sourceImage": "disks[].initializeParams.sourceImage",
            "metadata": NOT_IN_THE_API,  # a dictionary here, a list of keys and values there
            "networkInterfaces[].accessConfigs[].natIp": "networkInterfaces[].accessConfigs[].natIP",
            "serviceAccount": "serviceAccounts",
        },
    ),
    "compute.ManagedSslCertificate": _compute("SslCertificate"),
    "compute.Network": _compute("Network"),
    "compute.RegionAutoscaler": Shape(
        "compute",
        "v1",
        "Autoscaler",
        {
            "autoscalingPolicy.cooldownPeriod": "autoscalingPolicy.coolDownPeriodSec",
            "autoscalingPolicy.loadBalancingUtilization.target": (
                "autoscalingPolicy.loadBalancingUtilization.utilizationTarget"
            ),
            "autoscalingPolicy.maxReplicas": "autoscalingPolicy.maxNumReplicas",
            "autoscalingPolicy.minReplicas": "autoscalingPolicy.minNumReplicas",
        },
    ),
    "compute.RegionInstanceGroupManager": Shape(
        "compute",
        "v1",
        "InstanceGroupManager",
        {
            "distributionPolicyTargetShape": "distributionPolicy.targetShape",
            "distributionPolicyZones[]": "distributionPolicy.zones[].zone",
            "updatePolicy.maxSurgeFixed": "updatePolicy.maxSurge.fixed",
            "updatePolicy.maxUnavailableFixed": "updatePolicy.maxUnavailable.fixed",
            "waitForInstances": _IN_THE_PROVIDER,
        },
    ),
    "compute.SSLPolicy": _compute("SslPolicy"),
    "compute.SecurityPolicy": _compute("SecurityPolicy"),
    "compute.Subnetwork": _compute("Subnetwork"),
    "compute.TargetHttpProxy": _compute("TargetHttpProxy"),
    "compute.TargetHttpsProxy": _compute("TargetHttpsProxy"),
    "compute.URLMap": _compute("UrlMap"),
    "dns.ManagedZone": Shape("dns", "v1", "ManagedZone"),
    "dns.RecordSet": Shape("dns", "v1", "ResourceRecordSet", {"managedZone": _IN_THE_ADDRESS}),
    "logging.Metric": Shape("logging", "v2", "LogMetric"),
    "monitoring.AlertPolicy": Shape("monitoring", "v3", "AlertPolicy"),
    "monitoring.Dashboard": Shape("monitoring", "v1", "Dashboard"),
    "monitoring.NotificationChannel": Shape("monitoring", "v3", "NotificationChannel"),
    "monitoring.UptimeCheckConfig": Shape("monitoring", "v3", "UptimeCheckConfig"),
    "serviceaccount.Account": Shape("iam", "v1", "ServiceAccount", {"accountId": _IN_THE_ADDRESS}),
}


def has_shape(kind: str) -> bool:
    """Return whether a kind has fields: a grant is a part of a policy, and an API that is on has only its name."""
    return not kind.endswith(("IAMMember", "IamMember")) and kind not in (
        "projects.Service",
        "projects.ServiceIdentity",
    )
