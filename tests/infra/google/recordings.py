"""What the real engine and provider did, step by step, beside what the model does.

`steps.jsonl.gz` has a line a step: the settings, the plan that a preview had said, the calls of the update that changed
something, and what the stand-in for Google refused (README.md beside it).
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.infra.deployment import Deployment
from tests.infra.google import registrations
from tests.infra.google.calls import Call, mask
from tests.infra.google.engine_plan import Plan
from tests.infra.google.engine_update import Answered
from tests.infra.google.provider_kinds import KINDS
from tests.infra.google.references import symbolic

FOLDER = Path(__file__).parents[1] / "recorded"

PlanLine = tuple[str, str, str, tuple[str, ...]]
CallLine = tuple[str, int, str]


@dataclass(frozen=True)
class Recorded:
    """A step of a scenario."""

    scenario: str
    name: str
    settings: Mapping[str, Any]
    succeeded: bool
    plan: Counter[PlanLine]
    calls: Counter[CallLine]
    lines: tuple[str, ...]
    bodies: tuple[tuple[str, Mapping[str, Any]], ...]

    def bodies_of(self, call: Call) -> list[Mapping[str, Any]]:
        """Return the bodies that were sent where a call goes, and for things of its name."""
        name = mask(str(call.fields.get("name", "")))
        return [body for line, body in self.bodies if line == call.line and body.get("name", name) == name]

    @property
    def stack(self) -> str:
        return "prod" if self.scenario == "prod" else "dev"


def scenarios() -> dict[str, list[Recorded]]:
    """Return the recorded steps of each scenario, in order."""
    found: dict[str, list[Recorded]] = {}
    for line in gzip.decompress((FOLDER / "steps.jsonl.gz").read_bytes()).decode().splitlines():
        entry = json.loads(line)
        found.setdefault(entry["scenario"], []).append(
            Recorded(
                entry["scenario"],
                entry["step"],
                entry["settings"] or {},
                entry["rc"] == 0,
                Counter(_plan_line(p["op"], *_named(p["resource"]), p["keys"]) for p in entry["plan"]),
                _recorded_calls(entry["calls"]),
                tuple(_line(call) for call in entry["calls"]),
                tuple((_line(call), call["body"]) for call in entry["calls"] if call.get("body")),
            )
        )
    return found


def programs() -> dict[registrations.Key, Deployment]:
    """Return the runs of the recorded program, with references instead of values."""
    return {key: symbolic(run) for key, run in registrations.load(FOLDER / "programs.jsonl.gz").items()}


def plan_lines(plan: Plan) -> Counter[PlanLine]:
    """Return a plan of the model as the recordings have it."""
    return Counter(_plan_line(step.op, step.resource.kind, step.resource.name, step.keys) for step in plan.steps)


def call_lines(calls: Iterable[Answered]) -> Counter[CallLine]:
    """Return calls of the model as the recordings have them."""
    return _without_batches(
        (one.call.line, one.refusal.status if one.refusal else 200, one.refusal.rule if one.refusal else "")
        for one in calls
        if one.call.method
    )


def _recorded_calls(calls: Iterable[Mapping[str, Any]]) -> Counter[CallLine]:
    lines = []
    for call in calls:
        line, answer = _line(call), (call["status"], call.get("refused", ""))
        if line.endswith("services:batchEnable"):
            prefix = line.removesuffix(":batchEnable")
            lines += [(f"{prefix}/{service}:enable", *answer) for service in call["body"]["serviceIds"]]
        elif ":getIamPolicy" not in line:
            lines.append((line, *answer))
    return _without_batches(lines)


def _line(call: Mapping[str, Any]) -> str:
    return mask(f"{call['method']} {call['path']}")


def _without_batches(lines: Iterable[CallLine]) -> Counter[CallLine]:
    """Count calls; how many grants the provider writes at once depends on the moment, so each policy counts once."""
    counted = Counter(lines)
    policies = {line for line in counted if "setIamPolicy" in line[0] or line[0].endswith("/iam")}
    return Counter({line: 1 if line in policies else number for line, number in counted.items()})


def _named(resource: str) -> tuple[str, str]:
    kind, _, name = resource.partition(" ")
    # Components: the recordings have `classifier:infra:Apis.Apis` and `pulumi:pulumi:Stack.Stack`.
    return (kind.rpartition(".")[0] if ":" in kind else kind), name


def _plan_line(op: str, kind: str, name: str, keys: Iterable[str]) -> PlanLine:
    """Return a line of a plan with its keys without indices, a dot before each name, and nothing below a set."""
    found = {re.sub(r"\[\d+\]", "", re.sub(r'\["([^"]+)"\]', r".\1", key)) for key in keys}
    sets = KINDS[kind].sets if kind in KINDS else ()
    found = {next((one for one in sets if key == one or key.startswith(f"{one}.")), key) for key in found}
    return op, kind, name, tuple(sorted(found))
