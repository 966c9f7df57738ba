"""What is wrong with a configuration, one sentence a mistake: what was said, why it cannot be, what to write instead."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from infra import container, machines

if TYPE_CHECKING:
    from infra.settings import Settings

# A target proxy takes 15 certificates (https://cloud.google.com/load-balancing/docs/quotas).
MAX_DOMAINS = 15
# Cloud Armor's preconfigured rules that make sense for a service that takes pictures
# (https://cloud.google.com/armor/docs/waf-rules).
WAF_RULES = (
    "cve-canary",
    "lfi-v33-stable",
    "methodenforcement-v33-stable",
    "protocolattack-v33-stable",
    "rce-v33-stable",
    "rfi-v33-stable",
    "scannerdetection-v33-stable",
    "sessionfixation-v33-stable",
    "sqli-v33-stable",
    "xss-v33-stable",
)

_PROJECT = re.compile(r"([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")
_ZONE = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")
# The machines' account is named classifier-STACK, in at most 30 characters.
_STACK = re.compile(r"[a-z]([a-z0-9-]{0,17}[a-z0-9])?")
_DIGEST = re.compile(r"(?P<registry>[a-z0-9.-]+/[a-z0-9.:-]+/[a-z0-9._-]+)/[a-z0-9._/-]+@sha256:[0-9a-f]{64}")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MEMBER = re.compile(r"(user|group|serviceAccount):[^@\s]+@[^@\s]+\.[^@\s]+|domain:[^@\s]+\.[^@\s]+")
_BILLING = re.compile(r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}")


def mistakes(settings: Settings) -> list[str]:
    """Return a sentence for everything that is wrong, in the order in which a person would set it."""
    checks = (_place, _allowlist, _image, _machines, _sizes, _time, _rate, _front, _sign_in, _waf, _alerts, _network)
    return [sentence for check in checks for sentence in check(settings)]


def _place(settings: Settings) -> Iterator[str]:
    if not settings.project:
        yield "gcp:project is not set: run `pulumi config set gcp:project PROJECT-ID`."
    elif not _PROJECT.fullmatch(settings.project):
        yield f"gcp:project is {settings.project!r}: expected a project id such as my-project-123, not a name or number."
    if not settings.region:
        yield "gcp:region is not set: run `pulumi config set gcp:region us-central1`, or another region."
    elif _ZONE.fullmatch(settings.region):
        yield f"gcp:region is {settings.region!r}, which is a zone: write its region, {settings.region[:-2]}."
    elif not _REGION.fullmatch(settings.region):
        yield f"gcp:region is {settings.region!r}: expected a region such as us-central1."
    if not _STACK.fullmatch(settings.stack):
        yield (
            f"The stack's name is {settings.stack!r} and becomes part of Google's names: use at most 19 lower-case "
            "letters, digits and hyphens, as in dev or prod."
        )


def _allowlist(settings: Settings) -> Iterator[str]:
    if not settings.allowlist:
        yield (
            "allowlist is empty and nobody could use the service: add your own address with "
            "`pulumi config set --path 'allowlist[0]' ADDRESS/32`."
        )
    for entry, count in Counter(settings.allowlist).items():
        if count > 1:
            yield f"allowlist holds {entry!r} {count} times: once is enough."
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            yield f"allowlist holds {entry!r}: expected an address range such as 203.0.113.0/24 or 203.0.113.7/32."
            continue
        if "/" not in entry:
            yield f"allowlist holds {entry!r} without a prefix length: for this one address write {network}."
        elif entry.split("/")[0] != str(network.network_address) and network.prefixlen < network.max_prefixlen:
            yield (
                f"allowlist holds {entry!r}, which has bits set beyond its prefix: write {network} for the whole range "
                f"or {entry.split('/')[0]}/{network.max_prefixlen} for one address."
            )
        elif network.prefixlen == 0 and not settings.iap_members:
            yield (
                f"allowlist holds {entry!r}, which is everybody: name the ranges that may come in, or turn on sign-in "
                "with iapMembers."
            )
        elif network.prefixlen and (network.is_private or network.is_multicast or network.is_loopback):
            if not _is_documentation(network):
                yield (
                    f"allowlist holds {entry!r}, a range that never comes from the internet: write the public address "
                    "that your network has outside."
                )
        if settings.single and network.version == 6:
            yield f"allowlist holds {entry!r}: topology single listens on IPv4 only, write an IPv4 range."


def _is_documentation(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Return whether these are addresses for examples (RFC 5737, RFC 3849), which Python counts as private."""
    examples = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    return any(
        network.subnet_of(example)  # type: ignore[arg-type]  # both are of one version, as the line below makes sure
        for example in map(ipaddress.ip_network, examples)
        if example.version == network.version
    )


def _image(settings: Settings) -> Iterator[str]:
    if not settings.image:
        return
    match = _DIGEST.fullmatch(settings.image)
    if not match:
        yield (
            f"image is {settings.image!r}: expected a digest, {settings.registry}/classifier@sha256:..., since a tag "
            "can move under a running fleet; `docker inspect --format '{{index .RepoDigests 0}}' IMAGE` prints it."
        )
    elif match["registry"] != settings.registry:
        yield (
            f"image is in {match['registry']} and the machines may read {settings.registry} only: push it there and "
            "use the digest that the push prints."
        )


def _machines(settings: Settings) -> Iterator[str]:
    try:
        machine = settings.machine
    except machines.UnknownMachineType as error:
        yield f"machineType {error}"
        return
    needed_gb = container.memory_bytes() / 2**30
    if machine.memory_gb <= needed_gb:
        yield (
            f"machineType {machine.name!r} has {machine.memory_gb:g} GB of memory and the container may use "
            f"{needed_gb:g} GB: choose one with at least 2 GB, such as e2-small."
        )
    if not machine.takes(settings.disk_type):
        other = "pd-balanced" if settings.disk_type.startswith("hyperdisk") else "hyperdisk-balanced"
        yield f"diskType {settings.disk_type!r} does not fit machineType {machine.name!r}: write {other}."
    if not settings.machine_image.startswith("projects/"):
        yield f"machineImage is {settings.machine_image!r}: expected projects/PROJECT/global/images/family/FAMILY."


def _sizes(settings: Settings) -> Iterator[str]:
    for zone in settings.zones:
        if not _ZONE.fullmatch(zone) or zone[:-2] != settings.region:
            yield f"zones holds {zone!r}: expected a zone of {settings.region or 'gcp:region'}, such as us-central1-a."
    if len(set(settings.zones)) < len(settings.zones):
        yield f"zones holds a zone twice ({', '.join(settings.zones)}): name each once."
    if settings.single:
        return
    for kind, low, high in (
        ("spot", settings.spot_min, settings.spot_max),
        ("onDemand", settings.on_demand_min, settings.on_demand_max),
    ):
        if low > high and not (kind == "spot" and high == 0):
            yield f"{kind}Min is {low}, above {kind}Max, which is {high}: lower the one or raise the other."
        if high and not low:
            yield f"{kind}Min is 0 with {kind}Max {high}, and a group cannot grow from nothing: set {kind}Min to 1 or more."
    if not settings.spot_max and not settings.on_demand_max:
        yield "spotMax and onDemandMax are both 0, which leaves no machine: set one of them to 1 or more."
    zones = len(settings.zone_names)
    if settings.max_surge < zones:
        yield (
            f"maxSurge is {settings.max_surge}, below the {zones} zones, which Google refuses for a regional group: "
            f"set it to {zones} or more, or name fewer zones."
        )


def _time(settings: Settings) -> Iterator[str]:
    stop_sec = container.stop_timeout_sec()
    total = settings.drain_sec + settings.request_timeout_sec + container.STOP_MARGIN_SEC
    if total > stop_sec:
        yield (
            f"drainSec {settings.drain_sec} and requestTimeoutSec {settings.request_timeout_sec} take {total} s with "
            f"a margin of {container.STOP_MARGIN_SEC} s, and a Spot machine ends {container.SPOT_NOTICE_SEC} s after its notice, of which "
            f"the container gets {stop_sec}: lower one of them so that they add up to {stop_sec - container.STOP_MARGIN_SEC} "
            "at most."
        )
    notice = container.READINESS.notice_sec
    if not settings.single and settings.drain_sec <= notice:
        yield (
            f"drainSec is {settings.drain_sec} and the balancer needs up to {notice} s to notice a stopping machine: "
            f"set it to {notice + 1} or more."
        )


def _rate(settings: Settings) -> Iterator[str]:
    if settings.rate_file:
        try:
            _ = settings.rate
        except ValueError as error:
            yield str(error)


def _front(settings: Settings) -> Iterator[str]:
    for domain in settings.domains:
        if not _DOMAIN.fullmatch(domain):
            yield (
                f"domains holds {domain!r}: expected a host name such as classify.example.com, in lower case, without "
                "https://, port, path or wildcard."
            )
    for domain, count in Counter(settings.domains).items():
        if count > 1:
            yield f"domains holds {domain!r} {count} times: once is enough."
    if len(settings.domains) > MAX_DOMAINS:
        yield f"domains holds {len(settings.domains)} names and a balancer takes {MAX_DOMAINS} certificates: remove some."
    if settings.single and (settings.https or settings.domains):
        yield "https and domains need the balancer and topology is single: remove them, or set topology to fleet."
    elif settings.https and not settings.domains:
        yield (
            "https is true and domains is empty, and Google's certificates are for names: add yours with "
            "`pulumi config set --path 'domains[0]' NAME`."
        )
    elif settings.domains and not settings.https:
        yield f"domains holds {', '.join(settings.domains)} and https is false: set https to true, or remove them."


def _sign_in(settings: Settings) -> Iterator[str]:
    if not settings.iap_members:
        return
    for member in settings.iap_members:
        if member in ("allUsers", "allAuthenticatedUsers"):
            yield f"iapMembers holds {member!r}, which is everybody: name users, groups or domains."
        elif not _MEMBER.fullmatch(member):
            yield (
                f"iapMembers holds {member!r}: expected user:, group: or serviceAccount: with an address, or domain: "
                "with a domain."
            )
    if settings.single:
        yield "iapMembers need the balancer and topology is single: remove them, or set topology to fleet."
    elif not settings.https:
        yield "iapMembers need HTTPS and https is false: set it to true and add a name of yours to domains."


def _waf(settings: Settings) -> Iterator[str]:
    for rule in settings.waf_rules:
        if rule not in WAF_RULES:
            yield f"wafRules holds {rule!r}: expected one of {', '.join(WAF_RULES)}."
    if settings.single and settings.waf_rules:
        yield "wafRules need the balancer and topology is single: remove them, or set topology to fleet."


def _alerts(settings: Settings) -> Iterator[str]:
    for email in settings.alert_emails:
        if not _EMAIL.fullmatch(email):
            yield f"alertEmails holds {email!r}: expected an address such as team@example.com."
    if settings.monthly_budget_usd and not settings.billing_account:
        yield (
            f"monthlyBudgetUsd is {settings.monthly_budget_usd} and billingAccount is not set: "
            "`gcloud billing projects describe PROJECT` prints it."
        )
    if settings.billing_account and not _BILLING.fullmatch(settings.billing_account):
        yield f"billingAccount is {settings.billing_account!r}: expected XXXXXX-XXXXXX-XXXXXX, of digits and A to F."


def _network(settings: Settings) -> Iterator[str]:
    try:
        subnet = ipaddress.IPv4Network(settings.subnet_range)
    except ValueError:
        yield f"subnetRange is {settings.subnet_range!r}: expected a private range such as 10.10.0.0/20."
        return
    if not subnet.is_private:
        yield f"subnetRange is {settings.subnet_range!r}, which is public: take it from 10.0.0.0/8 or 192.168.0.0/16."
    # Google keeps four addresses of a subnet for itself (https://cloud.google.com/vpc/docs/subnets).
    room = subnet.num_addresses - 4
    needed = 1 if settings.single else sum(plan.max_size + settings.max_surge for plan in settings.groups)
    if room < needed:
        yield (
            f"subnetRange is {settings.subnet_range!r} with room for {max(room, 0)} machines, and an update of the "
            f"largest fleet needs {needed}: take a wider range, such as 10.10.0.0/20."
        )
