"""What Google would answer: the outputs that the provider computes, and the answers of its look-ups.

Values have the form of real ones, since the program builds on them (a member from an account's address, a template's
link in a group). Names are the program's own, or the logical name with seven characters that depend on the URN, as
Pulumi's automatic names do; a resource that no update can change gets other ones when its inputs change.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.infra import sdk
from tests.infra.deployment import Resource

PROJECT = "some-project"
PROJECT_NUMBER = "123456789012"
REGION = "europe-west4"
ZONES = ("a", "b", "c")
_COMPUTE = "https://www.googleapis.com/compute/v1/"

# Kinds of which every change is a replacement, from the provider's documentation. Only these matter to a new image.
IMMUTABLE = ("compute.InstanceTemplate", "compute.ManagedSslCertificate")

# Kinds whose links say neither global nor a region but what is given here: the collection's name in Google's API.
_COLLECTIONS = {
    "compute.BackendService": "global/backendServices",
    "compute.Firewall": "global/firewalls",
    "compute.GlobalAddress": "global/addresses",
    "compute.GlobalForwardingRule": "global/forwardingRules",
    "compute.HealthCheck": "global/healthChecks",
    "compute.InstanceTemplate": "global/instanceTemplates",
    "compute.ManagedSslCertificate": "global/sslCertificates",
    "compute.Network": "global/networks",
    "compute.SSLPolicy": "global/sslPolicies",
    "compute.SecurityPolicy": "global/securityPolicies",
    "compute.TargetHttpProxy": "global/targetHttpProxies",
    "compute.TargetHttpsProxy": "global/targetHttpsProxies",
    "compute.URLMap": "global/urlMaps",
    "compute.Address": "regions/{region}/addresses",
    "compute.RegionAutoscaler": "regions/{region}/autoscalers",
    "compute.RegionInstanceGroupManager": "regions/{region}/instanceGroupManagers",
    "compute.Subnetwork": "regions/{region}/subnetworks",
}


class Cloud:
    """Answers for one run. Override a method to see what the program makes of another answer."""

    def create(self, resource: Resource) -> dict[str, Any]:
        """Return the computed outputs of a resource: those that it always has and that its inputs do not give."""
        if resource.type.startswith("pulumi:"):
            return {"id": _suffix(resource.urn)}
        given = {name: value for name, value in resource.inputs.items() if value is not None}
        known = self._known(resource, given)
        computed = {name: known[name] for name in known if name not in given}
        for name, hint in sdk.output_types(resource.kind).items():
            if name not in given and name not in computed:
                computed[name] = _placeholder(resource.name, name, hint)
        return computed

    def _known(self, resource: Resource, given: dict[str, Any]) -> dict[str, Any]:
        identity = resource.urn
        if resource.kind in IMMUTABLE:
            identity += json.dumps(resource.inputs, sort_keys=True, default=repr)
        name = given.get("name", f"{resource.name}-{_suffix(identity)}")
        project, region = given.get("project", PROJECT), given.get("region", REGION)
        collection = _COLLECTIONS.get(resource.kind, resource.kind).format(region=region)
        path = f"projects/{project}/{collection}/{name}"
        known: dict[str, Any] = {"id": path, "name": name, "project": project, "region": region}
        known["selfLink"] = _COMPUTE + path
        known["selfLinkUnique"] = f"{_COMPUTE}{path}?uniqueId={int(_suffix(identity), 16)}"
        known["address"] = known["ipAddress"] = "203.0.113.10"
        if resource.kind == "compute.GlobalAddress" and given.get("ipVersion") == "IPV6":
            known["address"] = "2001:db8::10"
        if "name" not in sdk.input_types(resource.kind):
            # Cloud Monitoring's names are paths with a number that it gives.
            kind = resource.kind.split(".")[1]
            known["name"] = known["id"] = (
                f"projects/{project}/{kind[0].lower()}{kind[1:]}s/{int(_suffix(identity), 16)}"
            )
            known["uptimeCheckId"] = f"{resource.name}-{_suffix(identity)}"
        if resource.kind == "compute.RegionInstanceGroupManager":
            known["instanceGroup"] = known["selfLink"].replace("instanceGroupManagers", "instanceGroups")
        if resource.kind == "serviceaccount.Account":
            known["email"] = f"{given['accountId']}@{project}.iam.gserviceaccount.com"
            known["member"] = f"serviceAccount:{known['email']}"
            known["id"] = known["name"] = f"projects/{project}/serviceAccounts/{known['email']}"
        if resource.kind == "cloudbuild.Trigger":
            known["triggerId"] = _suffix(identity)
        if resource.kind == "projects.ServiceIdentity":
            agent = given["service"].split(".")[0]
            known["email"] = f"service-{PROJECT_NUMBER}@gcp-sa-{agent}.iam.gserviceaccount.com"
            known["member"] = f"serviceAccount:{known['email']}"
        if resource.kind == "certificatemanager.DnsAuthorization":
            known["dnsResourceRecords"] = [
                {
                    "name": f"_acme-challenge.{given['domain']}.",
                    "type": "CNAME",
                    "data": f"{_suffix(identity)}.authorize.certificatemanager.goog.",
                }
            ]
        if resource.kind == "artifactregistry.Repository":
            location, repository = given.get("location", region), given["repositoryId"]
            known["name"] = repository
            known["id"] = f"projects/{project}/locations/{location}/repositories/{repository}"
            known["registryUri"] = f"{location}-docker.pkg.dev/{project}/{repository}"
        if resource.kind == "cloudbuildv2.Repository":
            connection = f"projects/{project}/locations/{given['location']}/connections/{given['parentConnection']}"
            known["id"] = f"{connection}/repositories/{name}"
        # Declared or not, a class has only the outputs that its SDK knows.
        outputs = sdk.output_types(resource.kind)
        return {key: value for key, value in known.items() if key == "id" or key in outputs}

    def invoke(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return a look-up's answer.

        Raises:
            LookupError: for a look-up that nobody has prepared an answer for.
        """
        region = arguments.get("region", REGION)
        if function == "gcp:compute/getZones:getZones":
            return {"id": region, "names": [f"{region}-{zone}" for zone in ZONES], "project": PROJECT, "region": region}
        if function == "gcp:organizations/getProject:getProject":
            return {"id": f"projects/{PROJECT}", "number": PROJECT_NUMBER, "projectId": PROJECT, "name": PROJECT}
        if function == "gcp:organizations/getClientConfig:getClientConfig":
            return {"id": "client", "project": PROJECT, "region": REGION, "zone": "", "accessToken": ""}
        raise LookupError(f"cloud.py has no answer for {function} with {arguments}")


def _suffix(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:7]


def _placeholder(resource: str, name: str, hint: Any) -> Any:
    """Return a value for an output that nothing here knows; it names itself, so that it stands out where it lands."""
    simple = {str: f"computed-{resource}-{name}", int: 1, float: 1.0, bool: False}
    if hint in simple:
        return simple[hint]
    return {} if "Mapping" in str(hint) or isinstance(hint, type) else []
