"""Admits a build to the fleet while it tests: the allowlist names no build, and so admits none.

A rule of its own, for this machine's address only. It always has the same name or priority, so that one which a killed
build left behind is removed by the next. It stands behind Google's preconfigured rules and before the allowlist's
throttling, which would refuse a load test. IPv4 only, and so are the tests: the fleet may have an IPv6 address, by
which a machine that has both would come, and be refused.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra import names
from pipeline.commands import Result, run
from pipeline.errors import LockLost, StepFailed, log

_ATTEMPTS = 3
_PAUSE_SEC = 10.0


class AccessLeftOpen(StepFailed):
    """The fleet is fine, and the rule that admits this machine could not be removed."""


@dataclass(frozen=True)
class Rule:
    """The commands that make and remove a rule."""

    create: list[str]
    remove: list[str]


@contextlib.contextmanager
def granted(
    outputs: Mapping[str, Any],
    project: str,
    stack: str,
    address: str,
    confirm: Callable[[], None],
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Admit an address while the block lasts.

    Args:
        outputs: the stack's: `securityPolicy` where there is a balancer, else `network` and `serviceAccount`.
        project: Google's project id.
        stack: the stack's name.
        address: this machine's, in IPv4.
        confirm: raises where this process may change nothing more.
        pause: sleeps for some seconds.

    Raises:
        StepFailed: the rule cannot be made.
        AccessLeftOpen: it cannot be removed again.
    """
    made = rule(outputs, stack, address)
    confirm()
    log(f"access: {address} is admitted while the fleet is tested")
    result = run(["gcloud", *made.create, f"--project={project}"], quiet=True)
    if result.code:
        raise StepFailed(
            f"this machine, {address}, cannot be admitted to test the fleet: {result.last_words} Its account needs "
            "roles/compute.securityAdmin (docs/pipeline.md)."
        )
    remove = ["gcloud", *made.remove, "--quiet", f"--project={project}"]
    try:
        yield
    except BaseException:
        # What went wrong with the fleet matters more; the next rollout removes the rule in any case.
        if left := _close(remove, confirm, pause):
            log(left)
        raise
    if left := _close(remove, confirm, pause):
        raise AccessLeftOpen(f"the fleet is fine, but {left}")


def withdraw(outputs: Mapping[str, Any], project: str, stack: str) -> None:
    """Remove a rule that a killed build may have left; before Pulumi looks, which would take it for its own.

    Where there is none, which is usual, gcloud fails and nobody minds.
    """
    if outputs.get("securityPolicy") or outputs.get("serviceAccount"):
        result = run(["gcloud", *rule(outputs, stack, "").remove, "--quiet", f"--project={project}"], quiet=True)
        if not result.code:
            log("access: a rule that an earlier build had left was removed")


def _close(command: list[str], confirm: Callable[[], None], pause: Callable[[float], None]) -> str:
    """Remove the rule; returns a sentence where that fails."""
    try:
        confirm()
    except LockLost as reason:  # the successor has removed it, and may have its own there
        return str(reason)
    result = Result(1, "", "")
    for attempt in range(_ATTEMPTS):
        if attempt:
            pause(_PAUSE_SEC)
        result = run(command, quiet=True)
        if not result.code:
            return ""
    return f"the rule that admits this machine could not be removed ({result.last_words}): run `{shlex.join(command)}`."


def rule(outputs: Mapping[str, Any], stack: str, address: str) -> Rule:
    """Return the rule that admits an address: of Cloud Armor, or without a balancer of the firewall."""
    description = "A build tests the fleet; made and removed by the pipeline"
    policy = outputs.get("securityPolicy")
    if policy:
        where = [str(names.TEMPORARY_ACCESS_PRIORITY), f"--security-policy={policy}"]
        rules = ["compute", "security-policies", "rules"]
        what = ["--action=allow", f"--src-ip-ranges={address}/32", f"--description={description}"]
        return Rule([*rules, "create", *where, *what], [*rules, "delete", *where])
    name = names.temporary_firewall(stack)
    rules = ["compute", "firewall-rules"]
    what = [
        f"--network={outputs.get('network', '')}",
        "--direction=INGRESS",
        "--allow=tcp:80",
        f"--source-ranges={address}/32",
        f"--target-service-accounts={outputs.get('serviceAccount', '')}",
        f"--description={description}",
    ]
    return Rule([*rules, "create", name, *what], [*rules, "delete", name])
