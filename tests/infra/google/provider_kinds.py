"""How the provider makes, changes and deletes each kind of resource: data, after its sources.

`resource_compute_firewall.go:246` is a line of google-beta/services/ in hashicorp/terraform-provider-google-beta at
93c65b2d60 (August 2026, the 8.0 line, which pulumi-gcp 10 wraps). "recorded" is tests/infra/recorded/steps.jsonl.gz.
Names of inputs are Pulumi's, paths are below the API's host.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Update:
    """A call that an update makes when one of `keys` differs (any other key for an empty one).

    `path` follows the item's path; one that begins with / stands for the whole. `mask` asks for an updateMask.
    """

    keys: tuple[str, ...]
    method: str
    path: str = ""
    mask: bool = False


@dataclass(frozen=True)
class Kind:
    """How the provider makes, changes and deletes a kind.

    Attributes:
        collection: where it is made, with the service's prefix; braces name inputs or outputs.
        item: its own path, without the prefix: the key by which others refer to it.
        source: where the provider says so.
        replaces: inputs of which every change makes another one; name and project always do.
        updates: calls of an update, in the provider's order.
        sets: inputs whose order means nothing.
        after: calls after the creation, when an input is there: input, suffix.
        query: what the creation's path ends in.
        prefix: another prefix for the item's own calls.
    """

    collection: str
    item: str
    source: str
    replaces: tuple[str, ...] = ()
    updates: tuple[Update, ...] = ()
    sets: tuple[str, ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    query: str = ""
    prefix: str = ""


_PUT = (Update((), "PUT"),)
_PATCH = (Update((), "PATCH"),)
_MASKED = (Update((), "PATCH", mask=True),)


def _compute(
    collection: str,
    source: str,
    replaces: tuple[str, ...] = (),
    updates: tuple[Update, ...] = (),
    sets: tuple[str, ...] = (),
    after: tuple[tuple[str, str], ...] = (),
) -> Kind:
    path = f"projects/{{project}}/{collection}"
    return Kind(
        f"/compute/beta/{path}", f"{path}/{{name}}", f"resource_compute_{source}", replaces, updates, sets, after
    )


def _certificates(collection: str, query: str, source: str, replaces: tuple[str, ...]) -> Kind:
    path = f"projects/{{project}}/locations/{{location}}/{collection}"
    return Kind(
        f"/certificatemanager/v1/{path}", f"{path}/{{name}}", f"resource_certificate_manager_{source}", replaces,
        updates=_MASKED, query=f"?{query}={{name}}",
    )  # fmt: skip


_REGION = "regions/{region}"
_ALL = ("*",)

KINDS: dict[str, Kind] = {
    "artifactregistry.Repository": Kind(
        "/artifactregistry/v1/projects/{project}/locations/{location}/repositories",
        "projects/{project}/locations/{location}/repositories/{repositoryId}",
        "resource_artifact_registry_repository.go:302,312,445,468,508",
        replaces=("format", "repositoryId", "kmsKeyName", "location", "mode", "remoteRepositoryConfig"),
        updates=_MASKED,
        sets=("cleanupPolicies",),
        query="?repository_id={repositoryId}",
    ),
    "billing.Budget": Kind(
        "/billingbudgets/v1/billingAccounts/{billingAccount}/budgets",
        "billingAccounts/{billingAccount}/budgets/{id}",
        "resource_billing_budget.go:565,776",
        replaces=("billingAccount",),
        updates=_MASKED,
    ),
    "certificatemanager.Certificate": _certificates(
        "certificates", "certificateId", "certificate.go:161,183,190,291", ("location", "managed", "scope")
    ),
    "certificatemanager.CertificateMap": _certificates("certificateMaps", "certificateMapId", "map.go:141,279", ()),
    "certificatemanager.CertificateMapEntry": Kind(
        "/certificatemanager/v1/projects/{project}/locations/global/certificateMaps/{map}/certificateMapEntries",
        "projects/{project}/locations/global/certificateMaps/{map}/certificateMapEntries/{name}",
        "resource_certificate_manager_certificate_map_entry.go:156,176,197,304",
        replaces=("map", "hostname", "matcher"),
        updates=_MASKED,
        query="?certificateMapEntryId={name}",
    ),
    "certificatemanager.DnsAuthorization": _certificates(
        "dnsAuthorizations", "dnsAuthorizationId", "dns_authorization.go:154,184,191", ("domain", "location", "type")
    ),
    "cloudbuild.Trigger": Kind(
        "/cloudbuild/v1/projects/{project}/locations/{location}/triggers",
        "projects/{project}/locations/{location}/triggers/{name}",
        "resource_cloudbuild_trigger.go:1269",
        replaces=("location",),
        updates=_PATCH,
    ),
    "cloudbuildv2.Connection": Kind(
        "/cloudbuild/v2/projects/{project}/locations/{location}/connections",
        "projects/{project}/locations/{location}/connections/{name}",
        "resource_cloudbuildv2_connection.go:145,650",
        replaces=("location",),
        updates=_MASKED,
        query="?connectionId={name}",
    ),
    "cloudbuildv2.Repository": Kind(
        "/cloudbuild/v2/projects/{project}/locations/{location}/connections/{parentConnection}/repositories",
        "projects/{project}/locations/{location}/connections/{parentConnection}/repositories/{name}",
        "resource_cloudbuildv2_repository.go:148-189",
        replaces=_ALL,
        query="?repositoryId={name}",
    ),
    "cloudscheduler.Job": Kind(
        "/cloudscheduler/v1/projects/{project}/locations/{region}/jobs",
        "projects/{project}/locations/{region}/jobs/{name}",
        "resource_cloud_scheduler_job.go:236,472,649",
        replaces=("region",),
        updates=_PATCH,
    ),
    "compute.Address": _compute(
        f"{_REGION}/addresses",
        "address.go:184-310",
        ("address", "addressType", "description", "ipVersion", "network", "networkTier", "purpose", "region"),
        after=(("", "setLabels"),),
    ),
    "compute.BackendService": _compute(
        "global/backendServices",
        "backend_service.go:288,5631",
        updates=(Update(("securityPolicy",), "POST", "/setSecurityPolicy"), Update((), "PUT")),
        sets=("backends",),
        after=(("securityPolicy", "setSecurityPolicy"),),
    ),
    "compute.Firewall": _compute(
        "global/firewalls",
        "firewall.go:246,302,338",
        ("direction", "params"),
        _PATCH,
        ("allows", "denies", "destinationRanges", "sourceRanges", "targetServiceAccounts"),
    ),
    "compute.GlobalAddress": _compute(
        "global/addresses",
        "global_address.go:153-220",
        ("address", "addressType", "description", "ipVersion", "network", "prefixLength", "purpose"),
        after=(("", "setLabels"),),
    ),
    "compute.GlobalForwardingRule": _compute(
        "global/forwardingRules",
        "global_forwarding_rule.go:176-483",
        ("ipAddress", "ipProtocol", "description", "ipVersion", "network", "networkTier", "portRange", "subnetwork"),
        (Update(("target",), "POST", "/setTarget"), Update(("loadBalancingScheme",), "PATCH")),
    ),
    "compute.HealthCheck": _compute("global/healthChecks", "health_check.go:224", updates=_PUT),
    "compute.InstanceTemplate": _compute("global/instanceTemplates", "instance_template.go: no update", _ALL),
    "compute.ManagedSslCertificate": _compute("global/sslCertificates", "managed_ssl_certificate.go:147-191", _ALL),
    "compute.Network": _compute(
        "global/networks",
        "network.go:153-217",
        ("autoCreateSubnetworks", "description", "internalIpv6Range", "networkProfile", "params"),
        _PATCH,
    ),
    "compute.RegionAutoscaler": _compute(
        f"{_REGION}/autoscalers",
        "region_autoscaler.go:510",
        ("region",),
        (Update((), "PUT", "/compute/beta/projects/{project}/regions/{region}/autoscalers?autoscaler={name}"),),
    ),
    "compute.RegionInstanceGroupManager": _compute(
        f"{_REGION}/instanceGroupManagers",
        "region_instance_group_manager.go:59,421,428,442,567,950,1330",
        ("baseInstanceName", "description", "distributionPolicyZones", "params", "region"),
        (
            Update(("namedPorts",), "POST", "/setNamedPorts"),
            Update(("targetSize",), "POST", "/resize?size={targetSize}"),
            Update((), "PATCH"),
        ),
        ("distributionPolicyZones", "namedPorts"),
    ),
    "compute.SSLPolicy": _compute("global/sslPolicies", "ssl_policy.go:192", ("description",), _PATCH),
    "compute.SecurityPolicy": _compute(
        "global/securityPolicies",
        "security_policy.go:89,103,111,1068",
        ("type",),
        # Its rules have calls of their own: provider.py.
        (Update(("description", "advancedOptionsConfig", "adaptiveProtectionConfig"), "PATCH"),),
        ("rules", "rules.match.config.srcIpRanges"),
        after=(("", "setLabels"),),
    ),
    "compute.Subnetwork": _compute(
        f"{_REGION}/subnetworks",
        "subnetwork.go:512,544-760",
        ("network", "description", "region"),
        (
            Update(("ipCidrRange",), "POST", "/expandIpCidrRange"),
            Update(("privateIpGoogleAccess",), "POST", "/setPrivateIpGoogleAccess"),
            Update((), "PATCH"),
        ),
    ),
    "compute.TargetHttpProxy": _compute(
        "global/targetHttpProxies",
        "target_http_proxy.go:159,165,179",
        ("description", "httpKeepAliveTimeoutSec", "proxyBind"),
        (Update(("urlMap",), "POST", "/compute/beta/projects/{project}/targetHttpProxies/{name}/setUrlMap"),),
    ),
    "compute.TargetHttpsProxy": _compute(
        "global/targetHttpsProxies",
        "target_https_proxy.go:181,187,201,258",
        ("description", "httpKeepAliveTimeoutSec", "proxyBind", "tlsEarlyData"),
        (
            Update(("quicOverride",), "POST", "/setQuicOverride"),
            Update(
                ("sslCertificates", "certificateManagerCertificates"),
                "POST",
                "/compute/beta/projects/{project}/targetHttpsProxies/{name}/setSslCertificates",
            ),
            Update(("certificateMap",), "POST", "/setCertificateMap"),
            Update(("sslPolicy",), "POST", "/setSslPolicy"),
            Update(("urlMap",), "POST", "/compute/beta/projects/{project}/targetHttpsProxies/{name}/setUrlMap"),
        ),
    ),
    "compute.URLMap": _compute("global/urlMaps", "url_map.go:140", updates=_PUT),
    "dns.ManagedZone": Kind(
        "/dns/v1beta2/projects/{project}/managedZones",
        "projects/{project}/managedZones/{name}",
        "resource_dns_managed_zone.go:145,375,383,413",
        replaces=("dnsName", "visibility"),
        updates=_PUT,
    ),
    "dns.RecordSet": Kind(
        "/dns/v1/projects/{project}/managedZones/{managedZone}/changes",
        "projects/{project}/managedZones/{managedZone}/rrsets/{name}/{type}",
        "resource_dns_record_set.go:149,157",
        replaces=("managedZone", "name"),
        updates=(Update((), "POST", "/dns/v1/projects/{project}/managedZones/{managedZone}/changes"),),
    ),
    "logging.Metric": Kind(
        "/logging/v2/projects/{project}/metrics",
        "projects/{project}/metrics/{name}",
        "resource_logging_metric.go:107",
        updates=_PUT,
    ),
    "monitoring.AlertPolicy": Kind(
        "/monitoring/v3/projects/{project}/alertPolicies",
        "projects/{project}/alertPolicies/{id}",
        "resource_monitoring_alert_policy.go:1309,1431",
        updates=_MASKED,
    ),
    "monitoring.Dashboard": Kind(
        "/monitoring/v1/projects/{project}/dashboards",
        "projects/{number}/dashboards/{id}",
        "resource_monitoring_dashboard.go:38,110",
        updates=_PATCH,
    ),
    "monitoring.NotificationChannel": Kind(
        "/monitoring/v3/projects/{project}/notificationChannels",
        "projects/{project}/notificationChannels/{id}",
        "resource_monitoring_notification_channel.go:95",
        updates=_PATCH,
    ),
    "monitoring.UptimeCheckConfig": Kind(
        "/monitoring/v3/projects/{project}/uptimeCheckConfigs",
        "projects/{project}/uptimeCheckConfigs/{uptimeCheckId}",
        "resource_monitoring_uptime_check_config.go:163,338,381-475",
        replaces=("checkerType", "httpCheck.requestMethod", "monitoredResource", "resourceGroup", "syntheticMonitor"),
        updates=_MASKED,
    ),
    "pubsub.Topic": Kind(
        "/pubsub/v1/projects/{project}/topics",
        "projects/{project}/topics/{name}",
        "resource_pubsub_topic.go:141,623,741",
        replaces=("tags",),
        updates=_MASKED,
    ),
    "projects.ServiceIdentity": Kind(
        "/serviceusage/v1beta1/projects/{project}/services/{service}:generateServiceIdentity",
        "projects/{project}/services/{service}/identity",
        "resource_project_service_identity.go",
        replaces=_ALL,
    ),
    "serviceaccount.Account": Kind(
        "/iam/v1/projects/{project}/serviceAccounts",
        "projects/{project}/serviceAccounts/{email}",
        "resource_google_service_account.go:90",
        replaces=("accountId",),
        updates=_MASKED,
    ),
}

# Grants: one member and role in the policy of something else; every change is another grant (resource_iam_member.go).
GRANTS: dict[str, tuple[str, str]] = {
    "artifactregistry.RepositoryIamMember": (
        "POST", "/artifactregistry/v1/projects/{project}/locations/{location}/repositories/{repository}:setIamPolicy"
    ),
    "iap.WebBackendServiceIamMember": (
        "POST", "/iap/v1/projects/{project}/iap_web/compute/services/{webBackendService}:setIamPolicy"
    ),
    "kms.CryptoKeyIAMMember": ("POST", "/cloudkms/v1/{cryptoKeyId}:setIamPolicy"),
    "projects.IAMMember": ("POST", "/cloudresourcemanager/v1/projects/{project}:setIamPolicy"),
    "secretmanager.SecretIamMember": ("POST", "/secretmanager/v1/projects/{project}/secrets/{secretId}:setIamPolicy"),
    "serviceaccount.IAMMember": ("POST", "/iam/v1/{serviceAccountId}:setIamPolicy"),
    "storage.BucketIAMMember": ("PUT", "/storage/v1/b/{bucket}/iam"),
}  # fmt: skip
