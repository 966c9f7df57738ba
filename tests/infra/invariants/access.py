"""Who gets in and what gets out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.infra.deployment import Deployment, Resource, values
from tests.infra.invariants.registry import prevents

# https://cloud.google.com/armor/quotas
RANGES_PER_RULE = 10
# https://cloud.google.com/armor/docs/security-policy-overview: the rule that matches what no other does.
DEFAULT_PRIORITY = 2**31 - 1
# https://cloud.google.com/load-balancing/docs/firewall-rules
BALANCER_RANGES = {"35.191.0.0/16", "130.211.0.0/22"}
# https://cloud.google.com/iap/docs/using-tcp-forwarding
TUNNEL_RANGES = {"35.235.240.0/20"}
# https://cloud.google.com/vpc/docs/configure-private-google-access: private.googleapis.com
GOOGLE_APIS_RANGES = {"199.36.153.8/30"}


def rules(policy: Resource) -> list[dict[str, Any]]:
    """Return a policy's rules in the order in which they are asked."""
    return sorted(policy.inputs.get("rules", []), key=lambda rule: int(rule["priority"]))


def admits(rule: dict[str, Any]) -> bool:
    return not rule["action"].startswith("deny")


@prevents
def everybody_is_let_in_by_default(deployment: Deployment) -> Iterator[str]:
    """Without a default rule of one's own the provider adds one that allows."""
    for policy in deployment.of("compute.SecurityPolicy"):
        last = rules(policy)[-1:]
        if [rule["priority"] for rule in last] != [DEFAULT_PRIORITY]:
            yield f"{policy} states no default rule"
            continue
        if values(last, "[].match.config.srcIpRanges[]") != ["*"]:
            yield f"{policy}: the default rule matches {last[0].get('match')}"
        if admits(last[0]) or last[0].get("preview"):
            yield f"{policy}: the default rule says {last[0]['action']}, preview {last[0].get('preview', False)}"


@prevents
def backend_without_allowlist(deployment: Deployment) -> Iterator[str]:
    for backend in deployment.of("compute.BackendService"):
        if not backend.inputs.get("securityPolicy"):
            yield f"{backend} has no security policy"
        elif deployment.referenced(backend, "securityPolicy").kind != "compute.SecurityPolicy":
            yield f"{backend}: its security policy is {backend.inputs['securityPolicy']}"


@prevents
def policy_refused_for_too_many_ranges(deployment: Deployment) -> Iterator[str]:
    for policy in deployment.of("compute.SecurityPolicy"):
        for rule in rules(policy):
            count = len(values(rule, "match.config.srcIpRanges[]"))
            if count > RANGES_PER_RULE:
                yield f"{policy}: rule {rule['priority']} has {count} ranges"
        priorities = [rule["priority"] for rule in rules(policy)]
        if len(set(priorities)) < len(priorities):
            yield f"{policy}: a priority is taken twice, {priorities}"


@prevents
def others_than_the_allowlist_are_let_in(deployment: Deployment) -> Iterator[str]:
    """Or somebody on it is not: what the rules admit is exactly what the configuration says."""
    wanted = set(deployment.setting("allowlist"))
    for policy in deployment.of("compute.SecurityPolicy"):
        admitted = {
            entry for rule in rules(policy) if admits(rule) for entry in values(rule, "match.config.srcIpRanges[]")
        }
        if admitted != wanted:
            yield f"{policy} admits {sorted(admitted)}, the allowlist has {sorted(wanted)}"
        unconditional = [rule for rule in rules(policy) if admits(rule) and not values(rule, "match.config")]
        if unconditional:
            yield f"{policy} admits by {unconditional}, which names no addresses"


@prevents
def attack_rules_are_never_asked(deployment: Deployment) -> Iterator[str]:
    """The first rule that matches ends the evaluation, so Google's rules must come before the allowlist's."""
    for policy in deployment.of("compute.SecurityPolicy"):
        first_admission = min((rule["priority"] for rule in rules(policy) if admits(rule)), default=DEFAULT_PRIORITY)
        for rule in rules(policy):
            if values(rule, "match.expr.expression") and rule["priority"] > first_admission:
                yield f"{policy}: rule {rule['priority']} comes after the allowlist at {first_admission}"
        wanted = deployment.setting("wafRules") or []
        expressions = " ".join(values(rules(policy), "[].match.expr.expression"))
        for name in wanted:
            if f"'{name}'" not in expressions:
                yield f"{policy} does not apply {name}"


@prevents
def one_client_takes_all_capacity(deployment: Deployment) -> Iterator[str]:
    """Whoever is admitted is throttled by address, and told so by 429, which the balancer does not count as broken."""
    for policy in deployment.of("compute.SecurityPolicy"):
        for rule in filter(admits, rules(policy)):
            limit = rule.get("rateLimitOptions", {})
            found = (rule["action"], limit.get("conformAction"), limit.get("exceedAction"), limit.get("enforceOnKey"))
            if found != ("throttle", "allow", "deny(429)", "IP"):
                yield f"{policy}: rule {rule['priority']} admits by {found}"


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
            and firewall.inputs["network"] in network.outputs.values()
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


@prevents
def sign_in_is_skipped(deployment: Deployment) -> Iterator[str]:
    """Where sign-in is asked for, every backend demands it, and exactly the named members pass."""
    members = set(deployment.setting("iapMembers") or [])
    grants = deployment.of("iap.WebBackendServiceIamMember")
    for backend in deployment.of("compute.BackendService"):
        if bool(members) != bool(values(backend.inputs, "iap.enabled") == [True]):
            yield f"{backend}: sign-in is {backend.inputs.get('iap')} for the members {sorted(members)}"
        granted = {g.inputs["member"] for g in grants if g.inputs["webBackendService"] == backend.outputs["name"]}
        if granted != members:
            yield f"{backend} lets in {sorted(granted)}, asked for were {sorted(members)}"
    for grant in grants:
        if grant.inputs["role"] != "roles/iap.httpsResourceAccessor":
            yield f"{grant} grants {grant.inputs['role']}"


@prevents
def pictures_travel_in_the_clear(deployment: Deployment) -> Iterator[str]:
    """With HTTPS on, port 80 only leads to port 443, and old versions of TLS are refused."""
    if not deployment.setting("https"):
        return
    for rule in deployment.of("compute.GlobalForwardingRule"):
        proxy = deployment.referenced(rule, "target")
        url_map = deployment.referenced(proxy, "urlMap")
        if rule.inputs["portRange"] == "443":
            if proxy.kind != "compute.TargetHttpsProxy":
                yield f"{rule} answers port 443 by {proxy}"
        elif values(url_map.inputs, "defaultUrlRedirect.httpsRedirect") != [True]:
            yield f"{rule} serves port {rule.inputs['portRange']} by {url_map}, which is no redirection"
        elif values(url_map.inputs, "defaultUrlRedirect.stripQuery") != [False]:
            yield f"{url_map} loses the query"
    ports = {rule.inputs["portRange"] for rule in deployment.of("compute.GlobalForwardingRule")}
    if deployment.of("compute.BackendService") and ports != {"80", "443"}:
        yield f"the balancer listens on {sorted(ports)}"
    for proxy in deployment.of("compute.TargetHttpsProxy"):
        if not proxy.inputs.get("sslPolicy"):
            yield f"{proxy} accepts every version of TLS"
        elif deployment.referenced(proxy, "sslPolicy").inputs.get("minTlsVersion") not in ("TLS_1_2", "TLS_1_3"):
            yield f"{proxy} accepts old versions of TLS"
