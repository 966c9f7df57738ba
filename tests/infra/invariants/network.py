"""What the network lets in and out."""

from __future__ import annotations

from collections.abc import Iterator

from tests.infra.deployment import Deployment, values
from tests.infra.invariants.registry import prevents

# https://cloud.google.com/load-balancing/docs/firewall-rules
BALANCER_RANGES = {"35.191.0.0/16", "130.211.0.0/22"}
# https://cloud.google.com/iap/docs/using-tcp-forwarding
TUNNEL_RANGES = {"35.235.240.0/20"}
# https://cloud.google.com/vpc/docs/configure-private-google-access: private.googleapis.com
GOOGLE_APIS_RANGES = {"199.36.153.8/30"}


@prevents
def way_around_the_balancer(deployment: Deployment) -> Iterator[str]:
    """Into the network come the balancer, its probes and, if asked for, the tunnel for SSH; nobody else."""
    single = deployment.setting("topology") == "single"
    for firewall in deployment.of("compute.Firewall"):
        if firewall.inputs.get("direction", "INGRESS") != "INGRESS" or not firewall.inputs.get("allows"):
            continue
        sources = set(firewall.inputs.get("sourceRanges", []))
        ports = set(values(firewall.inputs, "allows[].ports[]"))
        allowed = (
            (sources and sources <= BALANCER_RANGES)
            or (sources and sources <= TUNNEL_RANGES and ports == {"22"} and deployment.setting("iapSsh"))
            or (single and sources == set(deployment.setting("allowlist")) and "22" not in ports)
        )
        if not allowed:
            yield f"{firewall} admits {sorted(sources) or 'everybody'} to {sorted(ports) or 'every port'}"
        if not firewall.inputs.get("targetServiceAccounts"):
            yield f"{firewall} applies to every machine of the network"


@prevents
def network_with_google_s_default_openings(deployment: Deployment) -> Iterator[str]:
    for network in deployment.of("compute.Network"):
        if network.inputs.get("autoCreateSubnetworks") is not False:
            yield f"{network} creates subnetworks of its own in every region"
    for template in deployment.of("compute.InstanceTemplate"):
        for interface in template.inputs.get("networkInterfaces", [{}]):
            if not values(interface, "subnetwork"):
                yield f"{template} is in the project's default network"


@prevents
def machine_is_reachable_from_the_internet(deployment: Deployment) -> Iterator[str]:
    """But for the one machine of topology single, whose firewall is the allowlist."""
    single = deployment.setting("topology") == "single"
    for template in deployment.of("compute.InstanceTemplate"):
        for kind in ("accessConfigs", "ipv6AccessConfigs"):
            external = values(template.inputs, f"networkInterfaces[].{kind}[]")
            if external and not (single and kind == "accessConfigs" and values(external, "[].natIp")):
                yield f"{template} has the external addresses {external}"


@prevents
def pictures_leave_the_project(deployment: Deployment) -> Iterator[str]:
    """What a machine sends goes to Google's own interfaces, or nowhere: no exit, no router that would make one."""
    outward = [f for f in deployment.of("compute.Firewall") if f.inputs.get("direction") == "EGRESS"]
    denials = [f for f in outward if f.inputs.get("denies")]
    for network in deployment.of("compute.Network"):
        total = [
            firewall
            for firewall in denials
            if values(firewall.inputs, "destinationRanges[]") == ["0.0.0.0/0"]
            and values(firewall.inputs, "denies[].protocol") == ["all"]
            and firewall.inputs["network"] in network.identifiers
            and not firewall.inputs.get("targetServiceAccounts")
            and not firewall.inputs.get("disabled")
        ]
        if not total:
            yield f"{network} lets everything out"
    for firewall in outward:
        destinations = set(firewall.inputs.get("destinationRanges", []))
        if firewall.inputs.get("allows") and not (destinations and destinations <= GOOGLE_APIS_RANGES):
            yield f"{firewall} lets out to {sorted(destinations) or 'everywhere'}"
    for resource in deployment.of("compute.RouterNat", "compute.Router"):
        yield f"{resource} is a way out"


@prevents
def machine_cannot_reach_google(deployment: Deployment) -> Iterator[str]:
    """With the way out closed, images and logs need private access, an exception, and names that lead there."""
    if not deployment.of("compute.InstanceTemplate"):
        return
    for subnetwork in deployment.of("compute.Subnetwork"):
        if subnetwork.inputs.get("privateIpGoogleAccess") is not True:
            yield f"{subnetwork} has no access to Google's interfaces"
    exceptions = [
        firewall
        for firewall in deployment.of("compute.Firewall")
        if firewall.inputs.get("direction") == "EGRESS"
        and set(firewall.inputs.get("destinationRanges", [])) == GOOGLE_APIS_RANGES
        and "443" in values(firewall.inputs, "allows[].ports[]")
    ]
    barriers = [f for f in deployment.of("compute.Firewall") if f.inputs.get("denies")]
    # 1000 is what Google assumes; the lower number wins.
    lowest = min((f.inputs.get("priority", 1000) for f in barriers), default=65535)
    if not any(f.inputs.get("priority", 1000) < lowest for f in exceptions):
        yield "no firewall rule before the barrier lets Google's interfaces be reached"
    names = {zone.inputs["dnsName"] for zone in deployment.of("dns.ManagedZone")}
    for needed in ("googleapis.com.", "pkg.dev."):
        if needed not in names:
            yield f"{needed} leads to addresses behind the barrier"
