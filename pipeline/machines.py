"""Waits until every machine of the fleet runs what it should and is healthy, as Google sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.commands import ask, run
from pipeline.errors import Stop, say

_UPDATED_LIMIT_SEC = 1200
_HEALTHY_LIMIT_SEC = 600.0
_PAUSE_SEC = 10.0


def wait(
    outputs: Mapping[str, Any],
    project: str,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait for all groups of machines.

    Pulumi has waited for the groups before; this is asked again because the pipeline's word must not rest on an
    argument of the program that it deploys.

    Args:
        outputs: the stack's: `groups` and `region`.
        project: Google's project id.
        pause: sleeps for some seconds.
        clock: seconds since whenever.

    Raises:
        Stop: a group is not updated or a machine not healthy in time.
    """
    groups = outputs.get("groups") or []
    if not groups:
        raise Stop("the stack has no machines, so there is nothing to wait for: see `pulumi stack output next`.")
    empty = []
    for group in groups:
        where = [group, f"--region={outputs['region']}", f"--project={project}"]
        command = ["gcloud", "compute", "instance-groups", "managed", "wait-until", *where, "--version-target-reached"]
        result = run([*command, f"--timeout={_UPDATED_LIMIT_SEC}"], limit_sec=_UPDATED_LIMIT_SEC + 60)
        if result.code:
            raise Stop(f"the group {group} is not updated: {result.last_words}")
        if not _healthy(group, where, pause, clock):
            empty.append(group)
    if len(empty) == len(groups):
        raise Stop(f"the fleet has no machine after {_HEALTHY_LIMIT_SEC:.0f} s: see the log of {', '.join(empty)}.")


def _healthy(group: str, where: list[str], pause: Callable[[float], None], clock: Callable[[], float]) -> bool:
    """Wait for one group; returns whether it has machines. Where there are no Spot machines, others may serve."""
    end = clock() + _HEALTHY_LIMIT_SEC
    while True:
        machines = ask(["gcloud", "compute", "instance-groups", "managed", "list-instances", *where, "--format=json"])
        # Those that the autoscaler adds or takes away at this moment are not waited for.
        settled = {_name(item): _state(item) for item in machines if item.get("currentAction") == "NONE"}
        bad = {name: state for name, state in settled.items() if state != "RUNNING, HEALTHY"}
        if settled and not bad:
            say(f"machines: {len(settled)} of {group} are updated and healthy")
            return True
        if clock() >= end:
            if not settled:
                say(f"machines: none of {group} can be had at this moment")
                return False
            found = ", ".join(f"{name} is {state}" for name, state in sorted(bad.items()))
            raise Stop(f"the group {group} is not healthy after {_HEALTHY_LIMIT_SEC:.0f} s: {found}.")
        pause(_PAUSE_SEC)


def _name(machine: Mapping[str, Any]) -> str:
    return str(machine["instance"]).rsplit("/", 1)[-1]


def _state(machine: Mapping[str, Any]) -> str:
    health = [check.get("detailedHealthState", "UNKNOWN") for check in machine.get("instanceHealth", [])]
    return f"{machine.get('instanceStatus', 'UNKNOWN')}, {health[0] if health else 'UNKNOWN'}"
