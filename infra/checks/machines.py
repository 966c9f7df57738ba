"""What the machines are, how many of them, and whether their times fit into one another."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from infra import container, names, rates
from infra.machines import UnknownMachineType
from infra.plans import BATCH_SEC, plans
from infra.settings import Settings

# What a rollout may take: one there and one back, with their tests, fit into the pipeline's time (cloudbuild.yaml).
LONGEST_UPDATE_SEC = 3600

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2})?")


def machine(settings: Settings) -> Iterator[str]:
    """Check the machine type, and that disk and container fit it."""
    try:
        found = settings.machine
    except UnknownMachineType as error:
        yield f"machineType {error}"
        return
    needed_gb = container.memory_bytes() / 2**30
    if found.memory_gb <= needed_gb:
        yield (
            f"machineType {found.name!r} has {found.memory_gb:g} GB of memory and the container may use "
            f"{needed_gb:g} GB: choose one with at least 2 GB, such as e2-small."
        )
    if not found.takes(settings.disk_type):
        other = "pd-balanced" if settings.disk_type.startswith("hyperdisk") else "hyperdisk-balanced"
        yield f"diskType {settings.disk_type!r} does not fit machineType {found.name!r}: write {other}."
    if not names.MACHINE_IMAGE.fullmatch(settings.machine_image):
        yield f"machineImage is {settings.machine_image!r}: expected projects/PROJECT/global/images/family/FAMILY."


def zones(settings: Settings) -> Iterator[str]:
    """Check that the zones are the region's, each once."""
    for zone in settings.zones:
        if not names.ZONE.fullmatch(zone) or zone[:-2] != settings.region:
            yield f"zones holds {zone!r}: expected a zone of {settings.region}, such as {settings.region}-a."
    if len(set(settings.zones)) < len(settings.zones):
        yield f"zones holds a zone twice ({', '.join(settings.zones)}): name each once."


def sizes(settings: Settings) -> Iterator[str]:
    """Check the sizes of the groups, and that an update may add a machine in every zone."""
    if settings.single:
        return
    for kind, low, high in (
        ("spot", settings.spot_min, settings.spot_max),
        ("onDemand", settings.on_demand_min, settings.on_demand_max),
    ):
        if low > high > 0 or (high == 0 and low and kind == "onDemand"):
            yield f"{kind}Min is {low}, above {kind}Max, which is {high}: lower the one or raise the other."
        if high and not low:
            yield (
                f"{kind}Min is 0 with {kind}Max {high}, and a group cannot grow from nothing: set {kind}Min to 1 or "
                "more."
            )
    if not settings.spot_max and not settings.on_demand_max:
        yield "spotMax and onDemandMax are both 0, which leaves no machine: set one of them to 1 or more."
    count = len(settings.zone_names)
    if 0 < settings.max_surge < count:
        yield (
            f"maxSurge is {settings.max_surge}, below the {count} zones, which Google refuses for a regional group: "
            f"set it to {count} or more, or to 0 for a quarter of each group, or name fewer zones."
        )
    for plan in plans(settings):
        if plan.update_sec > LONGEST_UPDATE_SEC:
            enough = math.ceil(plan.max_size * BATCH_SEC / LONGEST_UPDATE_SEC)
            yield (
                f"maxSurge is {settings.max_surge}, with which {plan.name}'s {plan.max_size} machines need some "
                f"{plan.update_sec // 60} minutes to become new ones, and the pipeline waits for "
                f"{LONGEST_UPDATE_SEC // 60}: set it to {enough} or more, or to 0 for a quarter of each group."
            )


def time(settings: Settings) -> Iterator[str]:
    """Check that draining and the last request fit into a Spot machine's notice, and probes into draining."""
    stop_sec, margin_sec = container.stop_timeout_sec(), container.STOP_MARGIN_SEC
    needed_sec = settings.drain_sec + settings.request_timeout_sec + margin_sec
    if needed_sec > stop_sec:
        yield (
            f"drainSec is {settings.drain_sec} and requestTimeoutSec {settings.request_timeout_sec}, and a Spot "
            f"machine ends {container.SPOT_NOTICE_SEC} s after its notice, of which the container gets {stop_sec}: "
            f"lower one of them so that they add up to {stop_sec - margin_sec} at most."
        )
    notice_sec = container.READINESS.notice_sec
    if not settings.single and settings.drain_sec <= notice_sec:
        yield (
            f"drainSec is {settings.drain_sec} and the balancer needs up to {notice_sec} s to notice a stopping "
            f"machine: set it to {notice_sec + 1} or more."
        )


def rate(settings: Settings) -> Iterator[str]:
    """Check the file of rated requests a second, where one is named."""
    try:
        _ = settings.rate
    except rates.RateError as error:
        yield str(error)


def renewal(settings: Settings) -> Iterator[str]:
    """Check the date of the last renewal."""
    if settings.refreshed and not _DATE.fullmatch(settings.refreshed):
        yield f"refreshed is {settings.refreshed!r}: write a date such as 2026-11-30; `make renew` does."
