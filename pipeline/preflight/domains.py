"""Whether the domains lead to the stack, and whether Google may issue their certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import dns.exception
import dns.resolver

from infra.settings import Settings
from pipeline.preflight.findings import Finding, NotLookedAt, Questions, good, warning

_LIMIT_SEC = 5.0
# Who issues Google's certificates (https://cloud.google.com/certificate-manager/docs/troubleshooting, CAA records).
_AUTHORITY = "pki.goog"
_CAA = re.compile(r'\d+ issue "?(?P<authority>[^";]*)')


def resolve(name: str, record_type: str) -> list[str]:
    """Return the texts of a name's records, none where there are none.

    Raises:
        NotLookedAt: DNS does not say.
    """
    try:
        return [str(record) for record in dns.resolver.resolve(name, record_type, lifetime=_LIMIT_SEC)]
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise NotLookedAt(f"DNS does not say what {name} is ({error})") from error


def expected(settings: Settings, outputs: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the records that people must set as (name, type, value); none before the addresses are known."""
    if records := outputs.get("records"):
        return [(str(item["name"]).rstrip("."), str(item["type"]), str(item["value"])) for item in records]
    addresses = outputs.get("addresses") or {}
    by_type = {"A": addresses.get("ipv4"), "AAAA": addresses.get("ipv6")}
    return [
        (domain, record_type, value) for domain in settings.domains for record_type, value in by_type.items() if value
    ]


def records(questions: Questions) -> Iterator[Finding]:
    """Look what DNS says of each name that the stack told people to set."""
    wanted = expected(questions.settings, questions.outputs)
    if not wanted:
        yield good("the domains' records come later: `make up` makes the addresses and prints what to set")
        return
    for name, record_type, value in wanted:
        values = [text.rstrip(".").lower() for text in questions.resolve(name, record_type)]
        right = value.rstrip(".").lower()
        if not values:
            yield warning(f"{name} has no {record_type} record: set it to {value}, or its certificate stays pending.")
        elif values != [right]:
            yield warning(
                f"the {record_type} record of {name} says {', '.join(values)}: set it to {value} alone, or its "
                "certificate stays pending and people get elsewhere."
            )
        else:
            yield good(f"{name} has the right {record_type} record, {value}")
    # Google asks by IPv6 too where there is such a record.
    for name in {name for name, record_type, _ in wanted if record_type == "A"} - {
        name for name, record_type, _ in wanted if record_type == "AAAA"
    }:
        if stray := questions.resolve(name, "AAAA"):
            yield warning(
                f"{name} has an AAAA record ({', '.join(stray)}) and the stack no IPv6 address: remove the record, or "
                "its certificate stays pending."
            )


def authorities(questions: Questions) -> Iterator[Finding]:
    """Look whether the domains' CAA records leave out the authority that issues Google's certificates."""
    free = []
    for domain in questions.settings.domains:
        holder, allowed = _caa(domain, questions)
        if allowed and _AUTHORITY not in allowed:
            yield warning(
                f"the CAA records of {holder} let {', '.join(sorted(allowed))} issue certificates for {domain}, not "
                f'Google: add `{holder}. CAA 0 issue "{_AUTHORITY}"`, or it never gets one.'
            )
        else:
            free.append(domain)
    if free:
        yield good(f"Google may issue certificates for {', '.join(free)}")


def _caa(domain: str, questions: Questions) -> tuple[str, set[str]]:
    """Return the nearest name upwards that has CAA records, and whom they let issue (RFC 8659)."""
    labels = domain.split(".")
    for start in range(len(labels)):
        name = ".".join(labels[start:])
        if texts := questions.resolve(name, "CAA"):
            matches = [match for text in texts if (match := _CAA.match(text.lower()))]
            return name, {match["authority"].strip() or "nobody" for match in matches}
    return domain, set()
