"""By what each kind of resource is found at Google when nothing but the program's inputs are known.

A state that was interrupted knows what it was about to make, with the name that Pulumi chose, and not whether it was
made. The forms are those of `pulumi import`, i.e. the provider's (ParseImportId in terraform-provider-google-beta).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ById:
    """Its id follows from its inputs.

    Attributes:
        form: the id; {project} and {region} are the stack's where the inputs do not say.
        removal: gcloud's words for such things, and where they are, by which one that must not stay is removed.
    """

    form: str
    removal: tuple[str, ...] = ()


@dataclass(frozen=True)
class ByTitle:
    """Google gives it a number, so that it must be looked for by what people call it.

    Attributes:
        title: the input that holds its title.
        command: gcloud's command that lists such things in JSON, after the title's own key.
        key: the title's key in that list.
        id: the key of the id.
        form: the id of the import.
    """

    title: str
    command: tuple[str, ...]
    key: str = "displayName"
    id: str = "name"
    form: str = "{id}"


@dataclass(frozen=True)
class Again:
    """Making it a second time is making it once: a member of a policy, an API that is on."""


Rule = ById | ByTitle | Again


def _compute(words: str, scope: str = "--global") -> ById:
    return ById("{name}", ("compute", *words.split(), scope) if scope else ("compute", *words.split()))


RULES: dict[str, Rule] = {
    "artifactregistry.Repository": ById("{location}/{repositoryId}"),
    "artifactregistry.RepositoryIamMember": Again(),
    "billing.Budget": ByTitle("displayName", ("billing", "budgets", "list", "--billing-account={billingAccount}")),
    "certificatemanager.Certificate": ById("global/{name}"),
    "certificatemanager.CertificateMap": ById("{name}"),
    "certificatemanager.CertificateMapEntry": ById("{map}/{name}"),
    "certificatemanager.DnsAuthorization": ById("global/{name}"),
    "cloudbuild.Trigger": ByTitle(
        "name",
        ("builds", "triggers", "list", "--region={location}"),
        key="name",
        id="id",
        form="projects/{project}/locations/{location}/triggers/{id}",
    ),
    "cloudbuildv2.Connection": ById("{location}/{name}"),
    "cloudbuildv2.Repository": ById("{location}/{parentConnection}/{name}"),
    "cloudscheduler.Job": ById("{region}/{name}"),
    "compute.Address": ById("{region}/{name}", ("compute", "addresses", "--region={region}")),
    "compute.BackendService": _compute("backend-services"),
    "compute.Firewall": _compute("firewall-rules", ""),
    "compute.GlobalAddress": _compute("addresses"),
    "compute.GlobalForwardingRule": _compute("forwarding-rules"),
    "compute.HealthCheck": _compute("health-checks"),
    "compute.InstanceTemplate": _compute("instance-templates", ""),
    "compute.ManagedSslCertificate": _compute("ssl-certificates"),
    "compute.Network": _compute("networks", ""),
    "compute.RegionAutoscaler": ById("{region}/{name}"),
    "compute.RegionInstanceGroupManager": ById(
        "{region}/{name}", ("compute", "instance-groups", "managed", "--region={region}")
    ),
    "compute.SSLPolicy": _compute("ssl-policies"),
    "compute.SecurityPolicy": _compute("security-policies", ""),
    "compute.Subnetwork": ById("{region}/{name}", ("compute", "networks", "subnets", "--region={region}")),
    "compute.TargetHttpProxy": _compute("target-http-proxies"),
    "compute.TargetHttpsProxy": _compute("target-https-proxies"),
    "compute.URLMap": _compute("url-maps"),
    "dns.ManagedZone": ById("{name}"),
    "dns.RecordSet": ById("{managedZone}/{name}/{type}"),
    "kms.CryptoKeyIAMMember": Again(),
    "logging.Metric": ById("{name}"),
    "monitoring.AlertPolicy": ByTitle("displayName", ("alpha", "monitoring", "policies", "list")),
    "monitoring.Dashboard": ByTitle("dashboardJson", ("monitoring", "dashboards", "list")),
    "monitoring.NotificationChannel": ByTitle("displayName", ("beta", "monitoring", "channels", "list")),
    "monitoring.UptimeCheckConfig": ByTitle("displayName", ("monitoring", "uptime", "list-configs")),
    "projects.IAMMember": Again(),
    "projects.Service": Again(),
    "projects.ServiceIdentity": Again(),
    "pubsub.Topic": ById("{name}"),
    "secretmanager.SecretIamMember": Again(),
    "serviceaccount.Account": ById("projects/{project}/serviceAccounts/{accountId}@{project}.iam.gserviceaccount.com"),
    "serviceaccount.IAMMember": Again(),
    "storage.BucketIAMMember": Again(),
}


def rule(resource_type: str) -> Rule | None:
    """Return how resources of a type (gcp:MODULE/part:NAME) are found; None where nobody has said."""
    package, _, rest = resource_type.partition(":")
    module, _, name = rest.rpartition(":")
    return RULES.get(f"{module.split('/')[0]}.{name}") if package == "gcp" else None


def fill(form: str, values: Mapping[str, Any], project: str, region: str) -> str:
    """Return a form with values in it, or nothing where one that it needs is missing.

    Of what is named by its address, a zone or a connection, the last part is the name; an id is taken as it is.
    """
    known = {"project": project, "region": region, "location": region, **values}
    texts = {name: str(value) if name == "id" else str(value).rsplit("/", 1)[-1] for name, value in known.items()}
    try:
        return form.format(**texts)
    except KeyError:
        return ""


def title(by: ByTitle, inputs: Mapping[str, Any]) -> str:
    """Return what people call a resource."""
    text = str(inputs.get(by.title, ""))
    if by.title == "dashboardJson":
        try:
            return str(json.loads(text).get("displayName", ""))
        except ValueError:
            return ""
    return text
