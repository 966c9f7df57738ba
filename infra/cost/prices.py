"""The price table: list prices in US dollars, in us-central1, from which cost.py estimates.

Most other regions cost 10 to 30 % more. Each figure has its source; "assumed" marks those for which no current public
source could be read. Spot prices change as often as daily.
"""

from __future__ import annotations

from dataclasses import dataclass

# When the table was last looked over.
DATE = "2026-11-24"
REGION = "us-central1"
HOURS_PER_MONTH = 730

# Per hour: one virtual CPU, one GB of memory. Google's Cloud Billing Catalog, SKUs "... Instance Core / Ram running in
# Americas", read on 2026-09-30 (e2, n2, n2d) and 2026-10-01 (t2d, and Spot), as published in open-source cost tools.
_ON_DEMAND = {
    "e2": (0.02181159, 0.00292353),
    "n2": (0.031611, 0.004237),
    "n2d": (0.027502, 0.003686),
    "t2d": (0.027502, 0.003686),
}
_SPOT = {"e2": (0.01309, 0.001754), "t2d": (0.0165, 0.002212)}
# assumed for the other series: the discount that e2 and t2d had on that day.
_SPOT_SHARE = 0.6

# Per GB and month: pd-balanced and hyperdisk-balanced from the catalog, 2026-09-30; pd-ssd assumed.
DISK_GB_MONTH = {"pd-balanced": 0.10, "pd-ssd": 0.17, "hyperdisk-balanced": 0.08}

# https://cloud.google.com/load-balancing/pricing: the first five rules together, each further one; processing per GiB.
FIRST_FIVE_RULES_HOUR = 0.025
FURTHER_RULE_HOUR = 0.010
PROCESSED_GIB = 0.008

# Cloud Armor Standard: a policy, a rule, a million requests; assumed: as several public sources quoted them in 2026.
ARMOR_POLICY_MONTH = 5.00
ARMOR_RULE_MONTH = 1.00
ARMOR_MILLION_REQUESTS = 0.75

UNUSED_ADDRESS_HOUR = 0.01  # assumed: one that is reserved and at which nothing answers
EXTERNAL_ADDRESS_HOUR = 0.005  # assumed: a static address in use; the balancer's own are free
DNS_ZONE_MONTH = 0.20  # assumed
INTERNET_GIB = 0.12  # assumed: premium tier, the first TiB, to most of the world
IMAGE_GB_MONTH = 0.10  # assumed: Artifact Registry, beyond the free half gigabyte

# https://cloud.google.com/stackdriver/pricing, read in 2026: beyond 50 GiB a month and project, which are free.
LOG_GIB = 0.50


@dataclass(frozen=True)
class MachineRate:
    """The price of one machine's parts, per hour."""

    cpu: float
    gb: float


def machine_rate(series: str, spot: bool) -> MachineRate | None:
    """Return the hourly prices of a series, None for those that the table does not hold."""
    if spot and series in _SPOT:
        return MachineRate(*_SPOT[series])
    if series not in _ON_DEMAND:
        return None
    cpu, gb = _ON_DEMAND[series]
    share = _SPOT_SHARE if spot else 1.0
    return MachineRate(cpu * share, gb * share)
