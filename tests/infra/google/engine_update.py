"""Pulumi's engine: an update, in one of the orders that the dependencies allow, and what else changes the state.

What is new and changed comes first, each after what it depends on; deletions come last, each after what depended on it
(pulumi's pkg/resource/deploy: deployment_executor.go, step_executor.go). Side by side means in any order: `order` asks
for one. After an error nothing further begins; what is under way comes to its end (`begun` says what was).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.infra.deployment import Deployment, Resource
from tests.infra.google import provider, provider_rules, provider_values
from tests.infra.google.api import GoogleProject
from tests.infra.google.calls import Call, Refusal
from tests.infra.google.engine_plan import Entry, Pending, Plan, Stack, Step, compare, plan, plan_destroy
from tests.infra.google.references import outputs, resolve

# Ranks a step among those that may come next; the lowest goes first.
Order = Callable[[str], Any]
Seen = Callable[[Call], None]


@dataclass(frozen=True)
class Answered:
    """A call, for which resource it was made, and what was said against it."""

    urn: str
    call: Call
    refusal: Refusal | None

    @property
    def failed(self) -> bool:
        # What is gone already is as good as deleted.
        return self.refusal is not None and (self.call.action, self.refusal.rule) != ("delete", "missing")


@dataclass
class Result:
    """What an update did."""

    plan: Plan
    calls: list[Answered] = field(default_factory=list)
    killed: bool = False

    @property
    def refusals(self) -> list[Refusal]:
        return [one.refusal for one in self.calls if one.failed and one.refusal]

    @property
    def succeeded(self) -> bool:
        return not (self.plan.refused or self.refusals or self.killed)


def first_registered(urn: str) -> int:
    """Rank all alike: what was registered first goes first."""
    return 0


@dataclass
class Update:
    """One `pulumi up` or `pulumi destroy`, on a state and a project that it changes."""

    stack: Stack
    project: GoogleProject
    order: Order = first_registered
    # Called after each call.
    seen: Seen = lambda _: None
    # Of an update that fails: which steps begin before its error ends it; by default those that come before in `order`.
    begins: Callable[[Step], bool] | None = None
    # The URN in whose creation the process dies, once Google has been asked.
    killed_at: str = ""
    _steps: dict[str, Step] = field(default_factory=dict)

    def up(self, program: Deployment, planned: Plan | None = None) -> Result:
        """Make the stack what the program says; `planned` is what `plan` has said already."""
        result = Result(planned or plan(self.stack, program))
        if result.plan.refused:
            return result
        self._steps = by_urn = {step.resource.urn: step for step in result.plan.steps if step.op != "delete"}
        needs = needs_of(program.resources)
        for urn in ordered(list(program.by_urn), needs, self.order):
            step, resource = by_urn.get(urn), program.by_urn[urn]
            if needs[urn] - self.stack.entries.keys():
                continue
            if step is None:
                self.stack.entries[urn] = replace(self.stack.entries[urn], resource=resource)
            elif self._begins(step, result):
                self._apply(step, result)
        gone = [self.stack.entries[step.resource.urn] for step in result.plan.of("delete")]
        self._delete([*self.stack.condemned, *gone], result)
        return result

    def destroy(self) -> Result:
        """Delete everything."""
        result = Result(plan_destroy(self.stack))
        if not result.plan.refused:
            self._delete([*self.stack.condemned, *self.stack.entries.values()], result)
        return result

    def _apply(self, step: Step, result: Result) -> None:
        """Do a step, but for the deletion of what it replaces."""
        resource, old = step.resource, self.stack.entries.get(step.resource.urn)
        wanted = resolve(resource.inputs, self.stack.output)
        if old and step.op == "update":
            self._update(old, resource, provider_values.kept(resource.kind, old.inputs, wanted), result)
            return
        # What was unknown in the plan may have stayed as it was.
        if old and not compare(self.stack, old, resource, frozenset()):
            self.stack.entries[resource.urn] = replace(old, resource=resource)
            return
        if old and step.delete_first:
            self._delete(self._replaced_with(old), result)
            if resource.urn in self.stack.entries:
                return
        self._create(resource, wanted, result)
        if old and not step.delete_first and self.stack.entries.get(resource.urn) is not old:
            self.stack.condemned.append(old)

    def _replaced_with(self, first: Entry) -> list[Entry]:
        """Return what is deleted before an entry's successor is made: itself, and what depends on it and goes too."""
        found = [first]
        for urn, entry in self.stack.entries.items():
            goes = urn in self._steps and self._steps[urn].op == "replace"
            if goes and needs_of([entry.resource])[urn] & {one.resource.urn for one in found}:
                found.append(entry)
        return found

    def _create(self, resource: Resource, wanted: dict[str, Any], result: Result) -> None:
        self.stack.serial += 1
        computed = computed_by(resource, wanted, self.stack.serial)
        if not resource.custom:
            self.stack.entries[resource.urn] = Entry(resource, wanted, computed)
            return
        calls = provider.creation(resource.kind, wanted, computed)
        if resource.urn == self.killed_at:
            self._call(resource.urn, calls[:1], result)
            self.stack.pending.append(Pending(resource, wanted, computed))
            result.killed = True
            return
        done = self._call(resource.urn, calls, result)
        # A group that was made, but for which the provider waited in vain, is in the state.
        if done == len(calls) or (done and calls[done].action == "wait"):
            read = self._read(resource.kind, wanted, computed)
            self.stack.entries[resource.urn] = Entry(resource, read, computed, failed=done < len(calls))

    def _update(self, old: Entry, resource: Resource, wanted: dict[str, Any], result: Result) -> None:
        kind = resource.kind
        for name in resource.options.get("ignoreChanges", ()):
            wanted = {**wanted, name: old.inputs.get(name)}
        calls = provider.update(kind, old.inputs, wanted, old.outputs)
        done = self._call(resource.urn, calls, result)
        if done == len(calls):
            read = self._read(kind, wanted, old.outputs)
            self.stack.entries[resource.urn] = Entry(resource, read, old.outputs)
        else:
            is_new = kind in provider_rules.KEEPS_A_FAILED_UPDATE or calls[done].action == "wait"
            kept = wanted if is_new else old.inputs
            self.stack.entries[resource.urn] = replace(old, resource=resource, inputs=kept, failed=True)

    def _delete(self, entries: Sequence[Entry], result: Result) -> None:
        """Delete entries, each after all that depends on it."""
        # Of a replaced one and its successor, both to go, either may go first.
        numbered = {f"{number} {entry.resource.urn}": entry for number, entry in enumerate(entries)}
        users: dict[str, set[str]] = {key: set() for key in numbered}
        for user, entry in numbered.items():
            for needed in needs_of([entry.resource])[entry.resource.urn]:
                for key in numbered:
                    if key.partition(" ")[2] == needed:
                        users[key].add(user)
        for key in ordered(list(numbered), users, lambda key: self.order(key.partition(" ")[2])):
            entry = numbered[key]
            if not self._begins(Step("delete", entry.resource), result):
                continue
            calls = provider.deletion(entry.resource.kind, entry.inputs, entry.outputs) if entry.resource.custom else []
            if self._call(entry.resource.urn, calls, result) < len(calls):
                continue
            if any(entry is condemned for condemned in self.stack.condemned):
                self.stack.condemned = [one for one in self.stack.condemned if one is not entry]
            else:
                del self.stack.entries[entry.resource.urn]

    def _begins(self, step: Step, result: Result) -> bool:
        return self.begins(step) if self.begins else not (result.refusals or result.killed)

    def _call(self, urn: str, calls: Sequence[Call], result: Result) -> int:
        """Make calls, one after the other; return how many were not refused."""
        for number, call in enumerate(calls):
            if call.action == "enable" and call.target.partition(".")[0] in self.project.enabled:
                continue  # the provider looks first which APIs are on
            refusal = self.project.send(call)
            answered = Answered(urn, call, refusal)
            result.calls.append(answered)
            self.seen(call)
            if answered.failed:
                return number
        return len(calls)

    def _read(self, kind: str, wanted: dict[str, Any], computed: Any) -> dict[str, Any]:
        target = provider.target(kind, wanted, computed)
        return (
            provider_values.read_back(kind, wanted, self.project.held(target))
            if target in self.project.things
            else wanted
        )


def computed_by(resource: Resource, wanted: dict[str, Any], serial: int) -> dict[str, Any]:
    """Return what the provider computes: for most kinds the id is the path by which others refer to them."""
    found = outputs(resource, serial)
    path = provider.target(resource.kind, wanted, found)
    return {**found, "id": path} if path and not resource.kind.startswith("monitoring.") else found


def needs_of(resources: Sequence[Resource]) -> dict[str, set[str]]:
    """Return, for each resource, the URNs of what must be there before: what it depends on, and its parent."""
    return {r.urn: {*r.dependencies, *([r.parent] if r.parent else [])} for r in resources}


def ordered(names: Sequence[str], needs: Mapping[str, set[str]], order: Order) -> Iterator[str]:
    """Yield names, each after what it needs; of those that may come next, the one that `order` ranks lowest."""
    place = {name: number for number, name in enumerate(names)}
    open_needs = {name: needs[name] & place.keys() for name in names}
    users: dict[str, list[str]] = {name: [] for name in names}
    for name, needed in open_needs.items():
        for need in needed:
            users[need].append(name)
    free = [name for name in names if not open_needs[name]]
    while free:
        chosen = min(free, key=lambda name: (order(name), place[name]))
        free.remove(chosen)
        yield chosen
        for user in users[chosen]:
            open_needs[user].discard(chosen)
            if not open_needs[user]:
                free.append(user)
