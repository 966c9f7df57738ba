"""Who may use the service, how they come in, and who hears of it when they cannot."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator

from infra.settings import Settings

# A target proxy takes 15 certificates (https://cloud.google.com/load-balancing/docs/quotas).
MAX_DOMAINS = 15
# Of a name for which Google makes a certificate (the same page: the common name of a certificate has no more).
MAX_DOMAIN_LENGTH = 64
# Cloud Armor's preconfigured rules (https://cloud.google.com/armor/docs/waf-rules).
WAF_SETS = (
    "lfi",
    "methodenforcement",
    "protocolattack",
    "rce",
    "rfi",
    "scannerdetection",
    "sessionfixation",
    "sqli",
    "xss",
)
# Of the core rule set 4.22, which Google recommends, and of 3.3.
WAF_RULES = ("cve-canary", *(f"{name}-{release}-stable" for release in ("v422", "v33") for name in WAF_SETS))
# A budget takes five channels (https://cloud.google.com/billing/docs/reference/budget/rest/v1/billingAccounts.budgets).
MAX_BUDGET_CHANNELS = 5
# Addresses for examples (RFC 5737, RFC 3849), which Python counts as private.
_EXAMPLES = [
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]

# Shared address space between a provider and its customers (RFC 6598), also of Tailscale.
_PROVIDERS_NAT = ipaddress.IPv4Network("100.64.0.0/10")

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
    # Python's is_global also rules out examples, without which no documentation could be tried. It rules out the
    # addresses behind a provider's NAT, 100.64.0.0/10, which is_private does not.
    if any(network.subnet_of(example) for example in _EXAMPLES if example.version == network.version):  # type: ignore[arg-type]
        return True
    return not (network.is_multicast or network.is_reserved or _behind_nat(network)) and not network.is_private


def _behind_nat(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return isinstance(network, ipaddress.IPv4Network) and network.overlaps(_PROVIDERS_NAT)


def https(settings: Settings) -> Iterator[str]:
    """Check the host names, and that they go with HTTPS."""
    for domain in settings.domains:
        if not _DOMAIN.fullmatch(domain):
            yield (
                f"domains holds {domain!r}: expected a host name such as classify.example.com, in lower case, without "
                "https://, port, path or wildcard."
            )
        elif len(domain) > MAX_DOMAIN_LENGTH:
            yield (
                f"domains holds {domain!r} of {len(domain)} characters, and Google's certificates are for names of "
                f"{MAX_DOMAIN_LENGTH} at most: choose a shorter one."
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


def certificates(settings: Settings) -> Iterator[str]:
    """Check that there is a name where it is to be proved by a DNS record."""
    if settings.certificates != "load-balancer" and not settings.https:
        yield f"certificates is {settings.certificates!r} and https is false: set https and domains, or remove it."


def sign_in(settings: Settings) -> Iterator[str]:
    """Check who may sign in, and that the balancer can ask them to."""
    for key, value, other, missing in (
        ("iapClientId", settings.iap_client_id, "iapClientSecret", not settings.iap_client_secret),
        ("iapClientSecret", "(set)" * bool(settings.iap_client_secret), "iapClientId", not settings.iap_client_id),
    ):
        if value and missing:
            yield f"{key} is {value} and {other} is not set: a client of one's own needs both."
    if settings.iap_client_id and not settings.iap_members:
        yield "iapClientId is set and iapMembers is empty: name who may sign in, or remove iapClientId."
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
    elif settings.https and not settings.redirect_http:
        yield "iapMembers need HTTPS and redirectHttp is false, which serves HTTP too: set it to true."
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
    for email, count in Counter(settings.alert_emails).items():
        if count > 1:
            yield f"alertEmails holds {email!r} {count} times: once is enough."
    if settings.monthly_budget and len(settings.alert_emails) > MAX_BUDGET_CHANNELS:
        yield (
            f"alertEmails holds {len(settings.alert_emails)} addresses and a budget tells {MAX_BUDGET_CHANNELS} at "
            "most: write the address of a group."
        )
    if settings.monthly_budget and not settings.billing_account:
        yield (
            f"monthlyBudget is {settings.monthly_budget} and billingAccount is not set: "
            "`gcloud billing projects describe PROJECT` prints it."
        )
    if settings.billing_account and not _BILLING.fullmatch(settings.billing_account):
        yield f"billingAccount is {settings.billing_account!r}: expected XXXXXX-XXXXXX-XXXXXX, of digits and A to F."
