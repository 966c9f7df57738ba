"""Waits until the fleet's machines run what they should and are healthy, as Google sees them, and judges what is not.

Pulumi's provider gives up after fifteen minutes whatever it is told, and a large group needs more; it also takes a
shortage of Spot machines for a failure, where others serve. So for groups that are there already this waits instead,
as long as the group's size and its surge require.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.plans import GroupPlan
from pipeline.commands import json_output
from pipeline.errors import StepFailed, log
from pipeline.settings import Settings

# Besides the batches: a first start with everything cold, and a machine that autohealing replaces once.
_ALLOWANCE_SEC = 600
_NAMED = 5


class FleetUnhealthy(StepFailed):
    """The machines do not become what they should."""


@dataclass(frozen=True)
class Machine:
    """One machine of a group; `trouble` is why Google could not make it, where it could not."""

    name: str
    template: str
    action: str
    status: str
    health: str
    trouble: str = ""

    @property
    def healthy(self) -> bool:
        """Return whether it runs and answers the probe."""
        return (self.action, self.status, self.health) == ("NONE", "RUNNING", "HEALTHY")

    def __str__(self) -> str:
        """Return its state for a sentence."""
        return f"{self.name} is {self.status or self.action}, {self.health}"


@dataclass(frozen=True)
class GroupStatus:
    """A group at one moment: its machines on the template that it should have, and those on others."""

    group: GroupPlan
    updated: tuple[Machine, ...]
    old: tuple[Machine, ...]

    @property
    def healthy(self) -> int:
        """Return how many machines are updated and healthy."""
        return sum(machine.healthy for machine in self.updated)

    @property
    def unhealthy(self) -> tuple[Machine, ...]:
        """Return the updated machines that are there and do not serve.

        Those that Google makes, starts or removes at this moment are not judged: the autoscaler does so all day.
        """
        return tuple(machine for machine in self.updated if machine.action == "NONE" and not machine.healthy)

    @property
    def complete(self) -> bool:
        """Return whether the group is updated, healthy, and no smaller than it may be."""
        return not self.old and not self.unhealthy and self.healthy >= self.group.min_size

    def __str__(self) -> str:
        """Return the group's progress."""
        of = max(self.group.min_size, len(self.updated) + len(self.old))
        return f"{self.healthy} of {of} in {self.group.name} updated and healthy"


def groups_of(outputs: Mapping[str, Any]) -> tuple[GroupPlan, ...]:
    """Return a stack's groups as its outputs tell them, with their names at Google."""
    return tuple(
        GroupPlan(
            name=str(item["name"]),
            spot=bool(item["spot"]),
            min_size=int(item["minSize"]),
            max_size=int(item["maxSize"]),
            scale_at=1.0,
            surge=int(item["maxSurge"]),
        )
        for item in outputs.get("groupDetails") or ()
    )


def status_of(group: GroupPlan, region: str, project: str) -> GroupStatus:
    """Ask Google for a group's machines.

    Raises:
        StepFailed: there is no such group, or it cannot be read.
    """
    where = [group.name, f"--region={region}", f"--project={project}", "--format=json"]
    managed = ["gcloud", "compute", "instance-groups", "managed"]
    described = json_output([*managed, "describe", *where])
    versions = described.get("versions") or [{}]
    target = _last(versions[-1].get("instanceTemplate") or described.get("instanceTemplate") or "")
    machines = [_machine(item) for item in json_output([*managed, "list-instances", *where])]
    return GroupStatus(
        group,
        tuple(machine for machine in machines if machine.template == target),
        tuple(machine for machine in machines if machine.template != target),
    )


def wait(
    groups: Sequence[GroupPlan],
    region: str,
    project: str,
    settings: Settings,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until all groups are updated and healthy.

    Args:
        groups: with their names at Google.
        region: where they are.
        project: Google's project id.
        settings: how often to look, and how often to say so.
        pause: sleeps for some seconds.
        clock: seconds since whenever.

    Raises:
        FleetUnhealthy: they are not in time, and the fleet would miss more than Spot machines that Google lacks.
        StepFailed: Google cannot be asked.
    """
    if not groups:
        raise StepFailed("the stack has no machines, so there is nothing to wait for: see `pulumi stack output next`.")
    limit_sec = max(group.update_sec for group in groups) + _ALLOWANCE_SEC
    began = said = clock()
    while True:
        statuses = [status_of(group, region, project) for group in groups]
        now = clock()
        # A group that grows from nothing may be complete with nothing; a fleet may not.
        done = all(status.complete for status in statuses) and any(status.healthy for status in statuses)
        if done or now - said >= settings.progress_sec:
            said = now
            log(f"machines: {'; '.join(map(str, statuses))}")
        if done:
            return
        if now - began >= limit_sec:
            _judge(statuses, limit_sec)
            return
        pause(settings.poll_sec)


def _judge(statuses: Sequence[GroupStatus], limit_sec: float) -> None:
    """Decide about a fleet that is not what it should be when time is up."""
    wrong = []
    for status in statuses:
        if status.complete:
            continue
        if status.unhealthy:
            wrong.append(_named(status.unhealthy))
        elif not status.group.spot:
            wrong.append(f"{status}{_troubles(status)}")
    if not any(status.healthy for status in statuses):
        wrong = wrong or ["no machine is updated and healthy" + "".join(map(_troubles, statuses))]
    if wrong:
        raise FleetUnhealthy(f"the fleet is not healthy after {limit_sec / 60:.0f} minutes: {'; '.join(wrong)}.")
    for status in statuses:
        if not status.complete:
            kept = f"; {len(status.old)} older ones serve on, with what ran before" if status.old else ""
            log(f"machines: Google has no Spot machines at this moment: {status}{_troubles(status)}{kept}")


def _machine(item: Mapping[str, Any]) -> Machine:
    checks = item.get("instanceHealth") or [{}]
    errors = ((item.get("lastAttempt") or {}).get("errors") or {}).get("errors") or []
    return Machine(
        name=_last(str(item["instance"])),
        template=_last(str((item.get("version") or {}).get("instanceTemplate", ""))),
        action=str(item.get("currentAction", "")),
        status=str(item.get("instanceStatus", "")),
        health=str(checks[0].get("detailedHealthState", "UNKNOWN")),
        trouble=str(errors[0].get("code", "")) if errors else "",
    )


def _named(machines: Sequence[Machine]) -> str:
    more = f" and {len(machines) - _NAMED} more" if len(machines) > _NAMED else ""
    return ", ".join(str(machine) for machine in machines[:_NAMED]) + more


def _troubles(status: GroupStatus) -> str:
    codes = sorted({machine.trouble for machine in status.updated if machine.trouble})
    return f" ({', '.join(codes)})" if codes else ""


def _last(address: str) -> str:
    return address.rsplit("/", 1)[-1].partition("?")[0]
