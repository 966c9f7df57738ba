"""Quotas against what the stack needs: the smallest fleet, and the largest with one update.

Names of quotas are those of Compute's `regions` and `projects` (https://cloud.google.com/compute/resource-usage).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.plans import plans
from infra.settings import Settings
from pipeline.preflight.findings import Finding, Questions, good, skipped, stop, warning

# Series whose processors count as CPUS where the region lists no SERIES_CPUS. Google's own tests of images count E2 as
# E2_CPUS and N1 as CPUS (GoogleCloudPlatform/guest-test-infra, imagetest/test_suites/networkperf/setup.go), the
# installer of OpenShift (pkg/asset/quota/gcp/gcp.go) E2 as CPUS. Newer series without a metric of their own (C3D, N4,
# C4, C4D) have a quota by family, CPUS_PER_VM_FAMILY, which only the Cloud Quotas API shows.
_COMMON = ("e2", "n1")
# Balanced disks count as SSD (https://cloud.google.com/compute/resource-usage, "Disk quotas").
_DISKS = {"pd-balanced": "SSD_TOTAL_GB", "pd-ssd": "SSD_TOTAL_GB", "hyperdisk-balanced": "HDB_TOTAL_GB"}


@dataclass(frozen=True)
class Need:
    """What the stack needs of one quota: for its smallest size, and at most."""

    metric: str
    least: int
    most: int


@dataclass(frozen=True)
class Quota:
    """A quota's limit, and what of it is in use."""

    limit: float
    usage: float


def read(answer: Mapping[str, Any]) -> dict[str, Quota]:
    """Return the quotas in a description of a region or a project."""
    return {
        item["metric"]: Quota(float(item["limit"]), float(item.get("usage", 0))) for item in answer.get("quotas", [])
    }


def processors(settings: Settings, quotas: Mapping[str, Quota]) -> Iterator[Need]:
    """Yield what the machines' processors need; those of which the quota is not known here have no metric.

    Spot machines count in PREEMPTIBLE_CPUS where that was granted, else like all others
    (https://cloud.google.com/compute/docs/instances/spot, "Preemptible quotas").
    """
    series = settings.machine.series
    own = f"{series.upper()}_CPUS"
    standard = own if own in quotas else "CPUS" if series in _COMMON else ""
    granted = quotas.get("PREEMPTIBLE_CPUS", Quota(0, 0)).limit > 0
    for metric, spot in (
        [(standard, (False,)), ("PREEMPTIBLE_CPUS", (True,))] if granted else [(standard, (False, True))]
    ):
        least, most = _machines(settings, spot)
        if most:
            yield Need(metric, least * settings.machine.cpus, most * settings.machine.cpus)


def regional(questions: Questions) -> Iterator[Finding]:
    """Look at the region's quotas: processors, disks, machines, addresses."""
    settings = questions.settings
    quotas = read(questions.json("compute", "regions", "describe", settings.region, f"--project={settings.project}"))
    least, most = _machines(settings)
    needs = [
        *processors(settings, quotas),
        Need(_DISKS[settings.disk_type], least * settings.disk_gb, most * settings.disk_gb),
        Need("INSTANCES", least, most),
    ]
    if settings.single and not questions.outputs:
        needs += [Need("STATIC_ADDRESSES", 1, 1), Need("IN_USE_ADDRESSES", 1, 1)]
    yield from _compare(needs, quotas, settings.region, questions)


def of_project(questions: Questions) -> Iterator[Finding]:
    """Look at the quotas that hold for all regions together."""
    settings = questions.settings
    quotas = read(questions.json("compute", "project-info", "describe", f"--project={settings.project}"))
    least, most = _machines(settings)
    needs = [Need("CPUS_ALL_REGIONS", least * settings.machine.cpus, most * settings.machine.cpus)]
    if not questions.outputs:
        needs.append(Need("NETWORKS", 1, 1))
        if not settings.single:
            addresses = 2 if settings.ipv6 else 1
            needs += [Need("STATIC_ADDRESSES", addresses, addresses), Need("SECURITY_POLICIES", 1, 1)]
    yield from _compare(needs, quotas, "all regions", questions)


def _machines(settings: Settings, spot: Iterable[bool] = (False, True)) -> tuple[int, int]:
    """Return how many machines there are at least, and at most during an update."""
    counted = [plan for plan in plans(settings) if plan.spot in spot]
    return sum(plan.min_size for plan in counted), sum(plan.max_size + plan.surge for plan in counted)


def _compare(needs: Iterable[Need], quotas: Mapping[str, Quota], where: str, questions: Questions) -> Iterator[Finding]:
    project = questions.settings.project
    page = f"https://console.cloud.google.com/iam-admin/quotas?project={project}"
    enough, unknown = [], []
    for need in needs:
        quota = quotas.get(need.metric)
        if quota is None:
            unknown.append(need.metric or f"the processors of {questions.settings.machine.series} (CPUS_PER_VM_FAMILY)")
            continue
        # Machines of this stack that run already are part of what is in use.
        room = quota.limit - (0 if questions.running else quota.usage)
        held = f"{need.metric} of {where} is {quota.limit:g} with {quota.usage:g} in use"
        if room < need.least:
            yield stop(
                f"the quota {held}, and the smallest fleet needs {need.least}: ask for more at {page}, or choose fewer "
                "or smaller machines."
            )
        elif room < need.most:
            yield warning(
                f"the quota {held}, and the largest fleet with an update needs {need.most}: until more is granted "
                f"({page}), the fleet stops growing there and a large update hangs; or lower the largest sizes."
            )
        else:
            enough.append(f"{need.most} of {quota.limit:g} {need.metric}")
    if enough:
        yield good(f"the quotas of {where} hold the largest fleet with an update: {', '.join(enough)}")
    if unknown:
        yield skipped(f"the quotas {', '.join(unknown)} of {where}", f"they are not in the answer, see {page}")
