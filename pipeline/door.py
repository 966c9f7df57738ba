"""A door in the allowlist for one build: the fleet admits nobody whom its owners did not name, and so no build either.

A rule of its own, for this machine's address only, while the tests through the balancer last. It always has the same
name or priority, so that a door which a killed build left open is closed by the next one. It stands behind Google's
preconfigured rules and before the allowlist's throttling, which would refuse a load test.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import address
from pipeline.commands import Result, run
from pipeline.errors import Stop, say

# Between infra.armor's preconfigured rules and its allowlist; a test compares them.
PRIORITY = 900
_ATTEMPTS = 3
_PAUSE_SEC = 10.0


@dataclass(frozen=True)
class Rule:
    """Whom a rule admits, and the commands that make and remove it."""

    address: str
    create: list[str]
    remove: list[str]


class LeftOpen(Stop):
    """The fleet is fine, and its door could not be closed."""


@contextlib.contextmanager
def opened(
    outputs: Mapping[str, Any], project: str, stack: str, pause: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Admit this machine while the block lasts.

    Args:
        outputs: the stack's: `securityPolicy` where there is a balancer, else `network` and `serviceAccount`.
        project: Google's project id.
        stack: the stack's name.
        pause: sleeps for some seconds.

    Raises:
        Stop: the rule cannot be made.
        LeftOpen: it cannot be removed again.
    """
    made = rule(outputs, stack, address.own())
    end = f"--project={project}"
    close = [*made.remove, "--quiet", end]
    run(["gcloud", *close], quiet=True)
    say(f"door: admits {made.address} while the fleet is tested")
    result = run(["gcloud", *made.create, end])
    if result.code:
        raise Stop(
            f"this machine, {made.address}, cannot be admitted to test the fleet: {result.last_words} Its account "
            "needs roles/compute.securityAdmin (docs/pipeline.md)."
        )
    try:
        yield
    finally:
        _close(["gcloud", *close], pause)


def _close(command: list[str], pause: Callable[[float], None]) -> None:
    result = Result(1, "", "")
    for attempt in range(_ATTEMPTS):
        if attempt:
            pause(_PAUSE_SEC)
        result = run(command)
        if not result.code:
            return
    raise LeftOpen(
        f"the fleet is fine, but the door for this machine could not be closed ({result.last_words}): run "
        f"`{shlex.join(command)}`."
    )


def rule(outputs: Mapping[str, Any], stack: str, own: str) -> Rule:
    """Return the rule that admits the address `own`: of Cloud Armor, or without a balancer of the firewall."""
    description = "A build tests the fleet; made and removed by pipeline/door.py"
    policy = outputs.get("securityPolicy")
    if policy:
        where = [str(PRIORITY), f"--security-policy={policy}"]
        rules = ["compute", "security-policies", "rules"]
        what = ["--action=allow", f"--src-ip-ranges={own}/32", f"--description={description}"]
        return Rule(own, [*rules, "create", *where, *what], [*rules, "delete", *where])
    name = f"classifier-{stack}-build"
    rules = ["compute", "firewall-rules"]
    what = [
        f"--network={outputs['network']}",
        "--direction=INGRESS",
        "--allow=tcp:80",
        f"--source-ranges={own}/32",
        f"--target-service-accounts={outputs['serviceAccount']}",
        f"--description={description}",
    ]
    return Rule(own, [*rules, "create", name, *what], [*rules, "delete", name])
