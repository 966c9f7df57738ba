"""Pulumi's engine: the state of a stack, and what a preview says that an update would do.

After step_generator.go in pulumi's pkg/resource/deploy, and provider.go and schema.go in pulumi-terraform-bridge's
pkg/tfbridge: a resource is compared with its state; what differs is updated, or replaced where the provider says that
it must be, the new one before the old one goes, unless its name is the program's own (nameRequiresDeleteBeforeReplace).
What a replaced or new resource will be called is unknown in the plan. What is protected is neither deleted nor
replaced: the plan is refused, and nothing has been touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.infra.deployment import UNKNOWN, Deployment, Resource
from tests.infra.google import provider_rules, provider_values
from tests.infra.google.provider_kinds import KINDS
from tests.infra.google.references import resolve


@dataclass(frozen=True)
class Entry:
    """A resource in the state.

    Attributes:
        resource: as it was registered last, with references.
        inputs: what the provider has read back, or was asked for.
        outputs: what the provider has computed.
        failed: whether its creation or last update ended in an error; the next update calls the provider again.
        imported: whether it came by `pulumi import`.
    """

    resource: Resource
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    failed: bool = False
    imported: bool = False


@dataclass(frozen=True)
class Pending:
    """An operation that the state has as begun: the process died in the middle of it."""

    resource: Resource
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


@dataclass
class Stack:
    """The state: what it has by URN, in the order in which it was made, and what it has as begun."""

    entries: dict[str, Entry] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)
    # What has been replaced and is still to be deleted, since the update that did it failed.
    condemned: list[Entry] = field(default_factory=list)
    serial: int = 0

    def copy(self) -> Stack:
        return replace(self, entries=dict(self.entries), pending=list(self.pending), condemned=list(self.condemned))

    def output(self, urn: str, name: str) -> Any:
        """Return an output of what is there."""
        return self.entries[urn].outputs.get(name, self.entries[urn].inputs.get(name))


@dataclass(frozen=True)
class Step:
    """A line of a plan: create, update, replace or delete, and the keys that differ, without indices."""

    op: str
    resource: Resource
    keys: frozenset[str] = frozenset()
    delete_first: bool = False

    def __str__(self) -> str:
        return f"{self.op} {self.resource.kind} {self.resource.name} {sorted(self.keys)}"


@dataclass(frozen=True)
class Plan:
    """What an update would do. `refused` are the sentences for which it would not even begin."""

    steps: tuple[Step, ...]
    refused: tuple[str, ...] = ()

    def of(self, op: str) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.op == op)


def plan(stack: Stack, program: Deployment) -> Plan:
    """Return what `pulumi up` would do with a program; `references.symbolic` has been there before."""
    steps: list[Step] = []
    becomes_unknown: set[str] = set()
    for resource in program.resources:
        entry = stack.entries.get(resource.urn)
        if entry is None:
            steps.append(Step("create", resource))
            becomes_unknown.add(resource.urn)
        elif resource.custom and (step := compare(stack, entry, resource, becomes_unknown)):
            steps.append(step)
            if step.op == "replace":
                becomes_unknown.add(resource.urn)
    gone = [entry.resource for urn, entry in stack.entries.items() if urn not in program.by_urn]
    steps += [Step("delete", resource) for resource in reversed(gone)]
    return Plan(tuple(steps), tuple(_protected(stack, steps)))


def plan_destroy(stack: Stack) -> Plan:
    """Return what `pulumi destroy` would do."""
    steps = [Step("delete", entry.resource) for entry in reversed(stack.entries.values())]
    return Plan(tuple(steps), tuple(_protected(stack, steps)))


def compare(stack: Stack, entry: Entry, resource: Resource, unknown: set[str] | frozenset[str]) -> Step | None:
    """Return the step that makes of a resource in the state what the program wants, None where that is the same."""

    def lookup(urn: str, name: str) -> Any:
        return UNKNOWN if urn in unknown else stack.output(urn, name)

    kind = resource.kind
    wanted = provider_values.kept(kind, entry.inputs, resolve(resource.inputs, lookup))
    ignored = tuple(resource.options.get("ignoreChanges", ()))
    keys = {key for key in provider_values.diff(kind, entry.inputs, wanted) if not key.startswith(ignored or "\0")}
    if kind.startswith("pulumi:"):
        return None
    if keys and provider_values.replaces(kind, keys, entry.inputs, wanted):
        keys |= set(provider_rules.SHOWN_AS_WELL.get(kind, ()))
        return Step("replace", resource, frozenset(keys), deletes_first(resource))
    if keys or entry.failed or entry.imported:
        return Step("update", resource, frozenset(keys))
    return None


def deletes_first(resource: Resource) -> bool:
    """Return whether a replacement begins with the deletion: by an option, or for a name that the program gives."""
    return bool(resource.options.get("deleteBeforeReplace", "name" in resource.inputs and _is_autonamed(resource)))


def _is_autonamed(resource: Resource) -> bool:
    """Return whether Pulumi would make a name for it, if the program gave none."""
    return resource.kind in KINDS and "{name}" in KINDS[resource.kind].item


def _protected(stack: Stack, steps: list[Step]) -> list[str]:
    gone = [step for step in steps if step.op in ("delete", "replace")]
    return [
        f"{step.resource} is protected and cannot be {step.op}d"
        for step in gone
        if stack.entries[step.resource.urn].resource.options.get("protect")
    ]
