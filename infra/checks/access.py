"""Who may use the service, how they come in, and who hears of it when they cannot."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.settings import Settings

# A target proxy takes 15 certificates (https://cloud.google.com/load-balancing/docs/quotas).
MAX_DOMAINS = 15
# Cloud Armor's preconfigured rules (https://cloud.google.com/armor/docs/waf-rules).
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
# Addresses for examples (RFC 5737, RFC 3849), which Python counts as private.
_EXAMPLES = [
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]

_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MEMBER = re.compile(r"(user|group|serviceAccount):[^@\s]+@[^@\s]+\.[^@\s]+|domain:[^@\s]+\.[^@\s]+")
_BILLING = re.compile(r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}")


def allowlist(settings: Settings) -> Iterator[str]:
    """Check the allowlist: not empty, not everybody, and ranges that can come from the internet."""
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
        address, _, length = entry.partition("/")
        if not length:
            yield f"allowlist holds {entry!r} without a prefix length: for this one address write {network}."
        elif address != str(network.network_address):
            yield (
                f"allowlist holds {entry!r}, which has bits set beyond its prefix: write {network} for the whole range "
                f"or {address}/{network.max_prefixlen} for one address."
            )
        elif network.prefixlen == 0:
            if not settings.iap_members:
                yield (
                    f"allowlist holds {entry!r}, which is everybody: name the ranges that may come in, or turn on "
                    "sign-in with iapMembers."
                )
        elif not _from_the_internet(network):
            yield (
                f"allowlist holds {entry!r}, a range that never comes from the internet: write the public address that "
                "your network has outside."
            )
        if settings.single and network.version == 6:
            yield f"allowlist holds {entry!r} and topology single listens on IPv4 only: write an IPv4 range."


def _from_the_internet(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    # Python's is_global also rules out examples, without which no documentation could be tried.
    return any(network.overlaps(example) for example in _EXAMPLES) or not (
        network.is_private or network.is_multicast or network.is_loopback or network.is_reserved
    )


def https(settings: Settings) -> Iterator[str]:
    """Check the host names, and that they go with HTTPS."""
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
        yield f"domains holds {len(settings.domains)} names, a balancer takes {MAX_DOMAINS} certificates: remove some."
    if settings.single and (settings.https or settings.domains):
        yield "https and domains need the balancer and topology is single: remove them, or set topology to fleet."
    elif settings.https and not settings.domains:
        yield (
            "https is true and domains is empty, and Google's certificates are for names: add yours with "
            "`pulumi config set --path 'domains[0]' NAME`."
        )
    elif settings.domains and not settings.https:
        yield f"domains holds {', '.join(settings.domains)} and https is false: set https to true, or remove them."


def sign_in(settings: Settings) -> Iterator[str]:
    """Check who may sign in, and that the balancer can ask them to."""
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


def waf(settings: Settings) -> Iterator[str]:
    """Check the names of the preconfigured rules."""
    for rule in settings.waf_rules:
        if rule not in WAF_RULES:
            yield f"wafRules holds {rule!r}: expected one of {', '.join(WAF_RULES)}."
    if settings.single and settings.waf_rules:
        yield "wafRules need the balancer and topology is single: remove them, or set topology to fleet."


def alerts(settings: Settings) -> Iterator[str]:
    """Check where alerts go, and the budget's account."""
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
