"""Requests reach machines, and answers reach clients."""

from __future__ import annotations

from collections.abc import Iterator

from tests.infra import machine
from tests.infra.deployment import Deployment, Resource, values
from tests.infra.invariants.registry import prevents

# The balancer keeps idle connections to machines for so long, and that cannot be changed
# (https://cloud.google.com/load-balancing/docs/https#timeout-keepalive-backends).
BALANCER_KEEPALIVE_SEC = 600
SCHEME = "EXTERNAL_MANAGED"


def groups_behind(deployment: Deployment, backend: Resource) -> list[Resource]:
    """Return the managed groups that a backend service sends requests to."""
    links = values(backend.inputs, "backends[].group")
    return [
        group
        for group in deployment.of("compute.RegionInstanceGroupManager")
        if group.outputs["instanceGroup"] in links
    ]


def template_of(deployment: Deployment, group: Resource) -> Resource:
    """Return the template that a group makes its machines of."""
    links = values(group.inputs, "versions[].instanceTemplate")
    for template in deployment.of("compute.InstanceTemplate"):
        if template.identifiers & set(links):
            return template
    raise AssertionError(f"{group} makes its machines of {links}, which no template of this stack has")


@prevents
def half_made_balancer_of_mixed_schemes(deployment: Deployment) -> Iterator[str]:
    """Google refuses a mixture only when half of it exists (pulumi-gcp#4037); the default is the old scheme."""
    for resource in deployment.of("compute.BackendService", "compute.GlobalForwardingRule"):
        scheme = resource.inputs.get("loadBalancingScheme")
        if scheme != SCHEME:
            yield f"{resource} is of the scheme {scheme}, the others of {SCHEME}"


@prevents
def balancer_knocks_at_a_port_that_is_not_there(deployment: Deployment) -> Iterator[str]:
    """The port's name and number agree from the backend service to the container."""
    for backend in deployment.of("compute.BackendService"):
        health_check = deployment.referenced(backend, "healthChecks")
        (probed,) = values(health_check.inputs, "httpHealthCheck.port")
        for group in groups_behind(deployment, backend):
            ports = {port["name"]: port["port"] for port in values(group.inputs, "namedPorts[]")}
            port = ports.get(backend.inputs["portName"])
            if port is None:
                yield f"{backend} wants the port {backend.inputs['portName']!r}, {group} names {sorted(ports)}"
                continue
            published = machine.of(template_of(deployment, group)).published
            if port not in published:
                yield f"{group} names port {port}, its machines publish {sorted(published)}"
            if probed != port:
                yield f"{health_check} asks port {probed}, {group} serves {port}"
            admitted = {
                open_port
                for firewall in deployment.of("compute.Firewall")
                if "35.191.0.0/16" in firewall.inputs.get("sourceRanges", [])
                for open_port in values(firewall.inputs, "allows[].ports[]")
            }
            if str(port) not in admitted:
                yield f"the firewall lets the balancer to {sorted(admitted)}, {group} serves {port}"


@prevents
def machines_get_no_requests(deployment: Deployment) -> Iterator[str]:
    """Each group of a fleet is behind the balancer, with a limit by which a regional group can be balanced."""
    if deployment.setting("topology") != "fleet":
        return
    backends = deployment.of("compute.BackendService")
    served = {group.urn for backend in backends for group in groups_behind(deployment, backend)}
    for group in deployment.of("compute.RegionInstanceGroupManager"):
        if group.urn not in served:
            yield f"{group} is behind no backend service"
    for backend in backends:
        for member in values(backend.inputs, "backends[]"):
            if member.get("balancingMode") != "RATE" or not member.get("maxRatePerInstance", 0) > 0:
                yield (
                    f"{backend} balances {member['group'].rsplit('/', 1)[-1]} by {member.get('balancingMode')} with "
                    f"{member.get('maxRatePerInstance')} requests a second"
                )


@prevents
def sporadic_502_from_closed_connections(deployment: Deployment) -> Iterator[str]:
    """A machine that closes an idle connection before the balancer does loses the request that is on its way."""
    for backend in deployment.of("compute.BackendService"):
        for group in groups_behind(deployment, backend):
            keepalive = int(machine.of(template_of(deployment, group)).environment.get("KEEPALIVE_SEC", 0))
            if keepalive <= BALANCER_KEEPALIVE_SEC:
                yield f"{group} keeps connections for {keepalive} s, the balancer for {BALANCER_KEEPALIVE_SEC}"


@prevents
def balancer_gives_up_before_the_service_answers(deployment: Deployment) -> Iterator[str]:
    """So that clients get the service's own refusal with its reason, also when their machine is being taken away."""
    for backend in deployment.of("compute.BackendService"):
        for group in groups_behind(deployment, backend):
            longest = int(machine.of(template_of(deployment, group)).environment["REQUEST_TIMEOUT_SEC"])
            for limit in ("timeoutSec", "connectionDrainingTimeoutSec"):
                if not backend.inputs.get(limit, 0) > longest:
                    yield f"{backend}: {limit} is {backend.inputs.get(limit)}, a request may take {longest} s"


@prevents
def client_sees_the_end_of_a_spot_machine(deployment: Deployment) -> Iterator[str]:
    """What a vanished machine did not answer is asked again, of another, once."""
    for url_map in deployment.of("compute.URLMap"):
        if not url_map.inputs.get("defaultService"):
            continue
        policy = (values(url_map.inputs, "defaultRouteAction.retryPolicy") or [{}])[0]
        if policy.get("numRetries") != 1 or not {"connect-failure", "gateway-error"} <= set(
            policy.get("retryConditions", [])
        ):
            yield f"{url_map} retries by {policy}"


@prevents
def overload_ejects_healthy_machines(deployment: Deployment) -> Iterator[str]:
    """Outlier detection acts on gateway errors only, and leaves at least half of the fleet in service.

    Only what arrives counts: the provider drops zeros in this block (TFP resource_compute_backend_service.go,
    IsEmptyValue), and Google's defaults are 100 for ejection by the rate of success and 0 for consecutive errors.
    """
    largest = sum(
        values([s.inputs for s in deployment.of("compute.RegionAutoscaler")], "[].autoscalingPolicy.maxReplicas")
    )
    for backend in deployment.of("compute.BackendService"):
        outliers = backend.inputs.get("outlierDetection", {})
        if dropped := sorted(key for key, value in outliers.items() if value in (0, False, "", [], {})):
            yield f"{backend}: the provider drops {dropped}, which are zero or empty"
        if outliers.get("enforcingConsecutiveErrors"):
            yield f"{backend}: enforcingConsecutiveErrors is {outliers['enforcingConsecutiveErrors']}"
        if not outliers.get("successRateMinimumHosts", 5) > largest:
            yield f"{backend}: {outliers.get('successRateMinimumHosts', 5)} machines may be ejected by success rate"
        if not outliers.get("enforcingConsecutiveGatewayFailure", 0) > 0:
            yield f"{backend}: a machine that answers only 502 stays in service"
        if outliers.get("maxEjectionPercent", 100) > 50:
            yield f"{backend}: up to {outliers.get('maxEjectionPercent')} % of the machines can be ejected"


@prevents
def new_domain_takes_the_others_down(deployment: Deployment) -> Iterator[str]:
    """A certificate cannot change: with two domains in it, adding one replaces it, and none is served for an hour."""
    certificates = deployment.of("compute.ManagedSslCertificate", "certificatemanager.Certificate")
    served: dict[str, list[str]] = {}
    for certificate in certificates:
        domains = values(certificate.inputs, "managed.domains[]")
        served.setdefault(certificate.kind, []).extend(domains)
        if len(domains) != 1:
            yield f"{certificate} is for {domains}"
    wanted = deployment.setting("domains") or []
    for proxy in deployment.of("compute.TargetHttpsProxy"):
        by_map = proxy.inputs.get("certificateMap")
        kind = "certificatemanager.Certificate" if by_map else "compute.ManagedSslCertificate"
        if sorted(served.get(kind, [])) != sorted(wanted):
            yield f"{proxy} has certificates for {sorted(served.get(kind, []))}, wanted are {sorted(wanted)}"
        if by_map and not by_map.startswith("//certificatemanager.googleapis.com/projects/"):
            yield f"{proxy} takes its certificates from {by_map}, which is no address of a map"
    attached = {
        link
        for proxy in deployment.of("compute.TargetHttpsProxy")
        for link in proxy.inputs.get("sslCertificates") or []
    }
    entries = deployment.of("certificatemanager.CertificateMapEntry")
    attached |= {link for entry in entries for link in entry.inputs["certificates"]}
    for certificate in certificates:
        if not attached & certificate.identifiers:
            yield f"{certificate} is attached to nothing, and is never served"
    for certificate in deployment.of("certificatemanager.Certificate"):
        if not values(certificate.inputs, "managed.dnsAuthorizations[]"):
            yield f"{certificate} waits for its name to lead to the balancer"


@prevents
def names_of_the_service_are_lost(deployment: Deployment) -> Iterator[str]:
    """What other people's DNS and allowlists name, and all ways back, go only by a deliberate act."""
    kept = ("compute.Address", "compute.GlobalAddress")
    for resource in deployment.custom:
        images = resource.kind == "artifactregistry.Repository" and resource.inputs["repositoryId"].endswith(
            deployment.stack
        )
        if (resource.kind in kept or images) and not resource.options.get("protect"):
            yield f"{resource} is not protected"
