"""Who gets in: the allowlist, sign-in, encryption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.infra.deployment import Deployment, Resource, values
from tests.infra.invariants.registry import prevents

# https://cloud.google.com/armor/quotas
RANGES_PER_RULE = 10
# https://cloud.google.com/armor/docs/security-policy-overview: the rule that matches what no other does.
DEFAULT_PRIORITY = 2**31 - 1


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
def sign_in_is_skipped(deployment: Deployment) -> Iterator[str]:
    """Where sign-in is asked for, every backend demands it, and exactly the named members pass, at our names alone."""
    members = set(deployment.setting("iapMembers") or [])
    domains = deployment.setting("domains") or []
    for backend in deployment.of("compute.BackendService"):
        if bool(members) != bool(values(backend.inputs, "iap.enabled") == [True]):
            yield f"{backend}: sign-in is {backend.inputs.get('iap')} for the members {sorted(members)}"
    granted = {
        (grant.inputs["member"], *values(grant.inputs, "condition.expression"))
        for grant in deployment.of("projects.IAMMember")
        if grant.inputs["role"] == "roles/iap.httpsResourceAccessor"
    }
    wanted = {(member, f'request.host == "{domain}"') for member in members for domain in domains}
    if granted != wanted:
        yield f"sign-in lets in {sorted(granted)}, asked for were {sorted(wanted)}"


@prevents
def pictures_travel_in_the_clear(deployment: Deployment) -> Iterator[str]:
    """With HTTPS on, port 80 only leads to port 443, unless HTTP is asked for, and old versions of TLS are refused."""
    if not deployment.setting("https"):
        return
    for rule in deployment.of("compute.GlobalForwardingRule"):
        proxy = deployment.referenced(rule, "target")
        url_map = deployment.referenced(proxy, "urlMap")
        if rule.inputs["portRange"] == "443":
            if proxy.kind != "compute.TargetHttpsProxy":
                yield f"{rule} answers port 443 by {proxy}"
        elif not deployment.setting("redirectHttp"):
            continue
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


@prevents
def http_leads_to_https_before_that_answers(deployment: Deployment) -> Iterator[str]:
    """Where HTTPS is turned on, port 443 is there before port 80 begins to lead to it."""
    secure, plain = (
        [rule for rule in deployment.of("compute.GlobalForwardingRule") if rule.inputs["portRange"] == port]
        for port in ("443", "80")
    )
    for rule in plain:
        for first in secure:
            if first.urn not in deployment.upstream(rule):
                yield f"{rule} may be changed before {first} is there"
