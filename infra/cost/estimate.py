"""What a stack costs in a month, by parts: an estimate from the price table, not a quotation."""

from __future__ import annotations

from typing import Any

from infra import google_network
from infra.cost import prices
from infra.plans import GroupPlan, plans
from infra.settings import Settings

# The benchmark's small picture; an answer with its headers, measured at 782 bytes: what a request moves.
PICTURE_BYTES = 95_000
ANSWER_BYTES = 780
# A line of the service's log, measured at 353 bytes, with what the logging agent adds; one of the balancer's. Assumed.
_SERVICE_LOG_BYTES = 500
_BALANCER_LOG_BYTES = 1_500
_IMAGE_GB = 0.1


def estimate(settings: Settings) -> dict[str, Any]:
    """Return the estimated cost in US dollars: a month at the smallest and the largest size, and 1,000 requests."""
    smallest = _parts(settings, [(plan, plan.min_size) for plan in plans(settings)])
    largest = _parts(settings, [(plan, plan.max_size) for plan in plans(settings)])
    return {
        "parts": smallest,
        "total": _total(smallest),
        "totalAtLargest": _total(largest),
        "per1000Requests": _per_1000_requests(settings),
        "prices": f"list prices of {prices.DATE} in {prices.REGION}",
    }


def machine_month(settings: Settings, spot: bool) -> float | None:
    """Return one machine's price for a month without its disk, None for series that the price table lacks."""
    machine = settings.machine
    rate = prices.machine_rate(machine.series, spot)
    if rate is None:
        return None
    return (machine.billed_cpus * rate.cpu + machine.memory_gb * rate.gb) * prices.HOURS_PER_MONTH


def _parts(settings: Settings, sizes: list[tuple[GroupPlan, int]]) -> dict[str, float | None]:
    zones = {
        "googleApisZones": len(google_network.DOMAINS) * prices.DNS_ZONE_MONTH,
        "images": _IMAGE_GB * prices.IMAGE_GB_MONTH,
    }
    if not settings.image:
        # Addresses are kept for DNS before there is anything that answers at them.
        addresses = (2 if settings.ipv6 and not settings.single else 1) * prices.UNUSED_ADDRESS_HOUR
        return {
            name: round(value, 2) for name, value in {**zones, "addresses": addresses * prices.HOURS_PER_MONTH}.items()
        }
    machines = [(machine_month(settings, plan.spot), size) for plan, size in sizes]
    known = all(price is not None for price, _ in machines)
    parts: dict[str, float | None] = {
        "machines": sum((price or 0) * size for price, size in machines) if known else None,
        "disks": sum(size for _, size in sizes) * settings.disk_gb * prices.DISK_GB_MONTH[settings.disk_type],
    }
    if settings.single:
        parts["address"] = prices.EXTERNAL_ADDRESS_HOUR * prices.HOURS_PER_MONTH
    else:
        rules = (2 if settings.https else 1) * (2 if settings.ipv6 else 1)
        further = max(0, rules - 5)
        parts["balancer"] = (prices.FIRST_FIVE_RULES_HOUR + further * prices.FURTHER_RULE_HOUR) * prices.HOURS_PER_MONTH
        armor_rules = len(settings.allowlist_rules) + len(settings.waf_rules) + 1
        parts["armor"] = prices.ARMOR_POLICY_MONTH + armor_rules * prices.ARMOR_RULE_MONTH
    parts |= zones
    return {name: None if value is None else round(value, 2) for name, value in parts.items()}


def _per_1000_requests(settings: Settings) -> dict[str, float]:
    received, sent = 1000 * PICTURE_BYTES / 2**30, 1000 * ANSWER_BYTES / 2**30
    logged = 0 if settings.log_level in ("warning", "error") else _SERVICE_LOG_BYTES
    parts = {"egress": sent * prices.INTERNET_GIB}
    if not settings.single:
        parts["balancer"] = (received + sent) * prices.PROCESSED_GIB
        parts["armor"] = prices.ARMOR_MILLION_REQUESTS / 1000
        logged += _BALANCER_LOG_BYTES * settings.log_sample_percent // 100
    parts["logsBeyondTheFree"] = 1000 * logged / 2**30 * prices.LOG_GIB
    parts["total"] = sum(parts.values())
    return {name: round(value, 5) for name, value in parts.items()}


def _total(parts: dict[str, float | None]) -> float | None:
    values = list(parts.values())
    return None if None in values else round(sum(value or 0 for value in values), 2)
