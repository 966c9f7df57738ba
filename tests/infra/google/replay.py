"""A recorded scenario, played through the model step by step.

Where a recorded update failed, it is chance what else had begun by then. The model is told: what it should have made is
what the next plan no longer wants to make, and for all else what the recorded calls have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tests.infra.deployment import Deployment
from tests.infra.google import provider
from tests.infra.google.api import GoogleProject
from tests.infra.google.engine_plan import Stack, Step
from tests.infra.google.engine_update import Result, Update, computed_by
from tests.infra.google.recordings import Recorded
from tests.infra.google.references import resolve
from tests.infra.google.registrations import Key, key

# The APIs that were on before the first step.
ENABLED = frozenset({"cloudkms", "cloudresourcemanager", "iam", "secretmanager", "serviceusage", "storage"})
# Rules of the stand-in that were off in all scenarios but one (recorded/README.md).
OFF = frozenset({"alert-metric-age", "alert-resource"})
GROUP = "compute.RegionInstanceGroupManager"


@dataclass(frozen=True)
class Played:
    """A recorded step and what the model did in it."""

    recorded: Recorded
    program: Deployment | None
    result: Result


def play(steps: list[Recorded], programs: Mapping[Key, Deployment]) -> Iterator[Played]:
    """Yield each step of a scenario as the model does it."""
    scenario = steps[0].scenario
    slow = scenario == "empty"
    project = GoogleProject(
        ENABLED - {"iam"} if slow else ENABLED,
        answers_at_once=not slow,
        lenient=frozenset() if scenario == "first" else OFF,
    )
    stack = Stack()
    for number, step in enumerate(steps):
        program = programs[key(step.stack, step.settings)] if step.settings else None
        _happens_before(step, stack, project, program)
        following = steps[number + 1] if number + 1 < len(steps) else None
        update = Update(stack, project, begins=None if step.succeeded else _Begun(stack, step, following))
        yield Played(step, program, update.up(program) if program else update.destroy())
        # The APIs of the empty project answered only after its third update.
        if not slow or step.name not in ("foundations", "image"):
            project.settle()


def _happens_before(step: Recorded, stack: Stack, project: GoogleProject, program: Deployment | None) -> None:
    """Do what the recordings had done between two updates: a kill, changes by hand."""
    if step.scenario == "killed" and step.name == "after" and program:
        group = program.one(GROUP).urn
        Update(stack, project, order=lambda urn: urn == group, killed_at=group).up(program)
        project.settle()
    if step.name == "alert-deleted-by-hand":
        del project.things[next(path for path in project.things if "/alertPolicies/" in path)]
    if step.name in ("rule-removed-by-hand", "rule-added-by-hand"):
        path = next(path for path in project.things if "/securityPolicies/" in path)
        rules = list(project.things[path].fields["rules"])
        removed = [rule for rule in rules if rule["priority"] != 1000]
        changed = removed if "removed" in step.name else [*rules, {"priority": 900, "action": "allow"}]
        project.things[path] = replace(project.things[path], fields={**project.things[path].fields, "rules": changed})


class _Begun:
    """Says of an update that failed which steps had begun."""

    def __init__(self, stack: Stack, step: Recorded, following: Recorded | None) -> None:
        self._stack = stack
        self._calls = Counter(step.calls)
        # Nothing is known of what a destroy would still have made.
        self._still = None
        if following and following.plan:
            self._still = {(kind, name) for op, kind, name, _ in following.plan if op == "create"}

    def __call__(self, step: Step) -> bool:
        unmade = self._still is not None and (step.resource.kind, step.resource.name) in self._still
        if step.op == "create" and self._still is not None and not unmade:
            return True
        line = self._first_line(step)
        for call in list(self._calls):
            made = step.op == "create" and unmade and call[1] == 200
            if self._calls[call] and call[0] == line and not made:
                self._calls[call] -= 1
                return True
        return False

    def _first_line(self, step: Step) -> str:
        resource, entry = step.resource, self._stack.entries.get(step.resource.urn)
        if not resource.custom:
            return ""
        if step.op == "delete" and entry:
            calls = provider.deletion(resource.kind, entry.inputs, entry.outputs)
        elif step.op == "update" and entry:
            wanted = resolve(resource.inputs, self._stack.output)
            calls = provider.update(resource.kind, entry.inputs, wanted, entry.outputs)
        else:
            wanted = resolve(resource.inputs, self._stack.output)
            calls = provider.creation(resource.kind, wanted, computed_by(resource, wanted, 0))
        return calls[0].line if calls else ""
