"""A change of a live stack, in every order that matters: what is refused, and who is not served meanwhile.

Resources that do not depend on one another are made side by side, so that whatever can go wrong between two of them
will, one day. Each resource that traffic passes through is therefore tried first (with nothing done but what it needs)
and last (with everything done but what needs it), besides the order of registration and its reverse.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.infra.deployment import Deployment
from tests.infra.google import provider_rules
from tests.infra.google.api import GoogleProject
from tests.infra.google.calls import Call
from tests.infra.google.engine_plan import Plan, Stack, plan
from tests.infra.google.engine_update import Order, Update, needs_of
from tests.infra.google.traffic import FrontEnd, front_ends

# Kinds that decide about who is served.
_TRAFFIC = (
    "certificatemanager.CertificateMap", "certificatemanager.CertificateMapEntry", "compute.Address",
    "compute.BackendService", "compute.Firewall", "compute.GlobalAddress", "compute.GlobalForwardingRule",
    "compute.HealthCheck", "compute.InstanceTemplate", "compute.RegionAutoscaler", "compute.RegionInstanceGroupManager",
    "compute.SecurityPolicy", "compute.TargetHttpProxy", "compute.TargetHttpsProxy", "compute.URLMap",
)  # fmt: skip

NOBODY_IS_SERVED = "nobody is served"
CERTIFICATE_IS_PENDING = "served once Google has issued a certificate"
SOME_ARE_SHUT_OUT = "ranges that may use the service before and after are shut out for a moment"
STRANGERS_GET_IN = "ranges get in that may use the service neither before nor after"


@dataclass
class Live:
    """A stack and the project that it is in."""

    stack: Stack
    project: GoogleProject

    def copy(self) -> Live:
        return Live(self.stack.copy(), self.project.copy())


@dataclass
class Outcome:
    """What a change does, over all orders.

    Attributes:
        plan: what the preview says.
        refusals: of the API, or of the provider's wait: their rules' names, each with a text.
        troubles: what people notice while it goes on, each with the call after which it was so first.
        leftovers: what stays at Google although the program says no more of it.
        live: the stack and the project afterwards, in the order of registration.
    """

    plan: Plan
    live: Live
    refusals: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)

    @property
    def summary(self) -> set[str]:
        """Return the names of all that is not as one would wish."""
        return {*(["protected"] if self.plan.refused else []), *self.refusals, *self.troubles, *self.leftovers}


def move(live: Live, program: Deployment) -> Outcome:
    """Return what `pulumi up` does to a stack that has had time to settle; `live` stays as it is."""
    planned = plan(live.stack, program)
    last = live.copy()
    outcome = Outcome(planned, last)
    if planned.refused:
        return outcome
    begin = front_ends(live.project)
    for number, order in enumerate(_orders(live.stack, program, planned)):
        now = live.copy()
        seen = _Watch(now.project, begin)
        result = Update(now.stack, now.project, order, seen).up(program, planned)
        for refusal in result.refusals:
            outcome.refusals.setdefault(refusal.rule, str(refusal))
        now.project.settle()
        if result.succeeded:
            for trouble, call in seen.troubles(front_ends(now.project)).items():
                outcome.troubles.setdefault(trouble, call)
        if number == 0:
            outcome.live = now
            outcome.leftovers = leftovers(now.stack, program)
    return outcome


def destroy(live: Live) -> Outcome:
    """Return what `pulumi destroy` does, in the order of the state and in its reverse."""
    outcome = Outcome(Plan(()), live.copy())
    for order in (_as_registered, _reversed([entry.resource.urn for entry in live.stack.entries.values()])):
        now = live.copy()
        result = Update(now.stack, now.project, order).destroy()
        outcome.plan, outcome.live = result.plan, now
        for refusal in result.refusals:
            outcome.refusals.setdefault(refusal.rule, str(refusal))
    return outcome


def unprotected(live: Live) -> Live:
    """Return a stack after `pulumi state unprotect --all`."""
    found = live.copy()
    for urn, entry in found.stack.entries.items():
        options = {name: value for name, value in entry.resource.options.items() if name != "protect"}
        found.stack.entries[urn] = replace(entry, resource=replace(entry.resource, options=options))
    return found


def leftovers(stack: Stack, program: Deployment) -> list[str]:
    """Return what a program leaves out, and what stays at Google all the same and matters."""
    found = []
    for (kind, path), harm in provider_rules.KEEPS.items():
        for resource in program.of(kind) if harm else []:
            entry = stack.entries.get(resource.urn)
            if entry and path not in resource.inputs and entry.inputs.get(path):
                found.append(f"{kind}.{path} stays: {harm}")
    return found


class _Watch:
    """Looks at the front_ends after each call that traffic may notice."""

    def __init__(self, project: GoogleProject, begin: list[FrontEnd]) -> None:
        self._project, self._begin = project, begin
        self._moments: list[tuple[str, list[FrontEnd]]] = []

    def __call__(self, call: Call) -> None:
        if self._begin and call.kind in _TRAFFIC:
            self._moments.append((call.line or f"wait for {call.target}", front_ends(self._project)))

    def troubles(self, end: list[FrontEnd]) -> dict[str, str]:
        """Return what was wrong, by what there is before and in the end, with the first call after which it was."""
        found: dict[str, str] = {}
        # Who uses an address and a port that stay may rely on them; else the old ones serve until the new ones do.
        stays = {front_end.at for front_end in self._begin} & {front_end.at for front_end in end}
        needed = [{at} for at in stays] or [{front_end.at for front_end in [*self._begin, *end]}]
        for line, now in [*self._moments, ("in the end", end)] if self._begin else []:
            for at in needed:
                here = [front_end for front_end in now if front_end.at in at]
                if not here:
                    found.setdefault(NOBODY_IS_SERVED, line)
                elif all(front_end.certificate_pending for front_end in here) and now is not end:
                    found.setdefault(CERTIFICATE_IS_PENDING, line)
                elif _admitted(self._begin) & _admitted(end) - _admitted(here):
                    found.setdefault(SOME_ARE_SHUT_OUT, line)
            if _admitted(now) - _admitted(self._begin) - _admitted(end):
                found.setdefault(STRANGERS_GET_IN, line)
        return found


def _admitted(found: list[FrontEnd]) -> set[str]:
    return {admitted for front_end in found for admitted in front_end.admits}


def _orders(stack: Stack, program: Deployment, planned: Plan) -> Iterator[Order]:
    known = [*program.by_urn, *(urn for urn in stack.entries if urn not in program.by_urn)]
    yield _as_registered
    yield _reversed(known)
    changing = {step.resource.urn: step for step in planned.steps if step.resource.kind in _TRAFFIC}
    needs = {**needs_of([entry.resource for entry in stack.entries.values()]), **needs_of(program.resources)}
    users: dict[str, set[str]] = {urn: set() for urn in needs}
    for urn, needed in needs.items():
        for need in needed:
            users.setdefault(need, set()).add(urn)
    for urn, step in changing.items():
        # What a deletion waits for is what uses it.
        before, after = (users, needs) if step.op == "delete" else (needs, users)
        yield _ranked(_closure(urn, before), first=True)
        yield _ranked(_closure(urn, after), first=False)


def _closure(urn: str, edges: dict[str, set[str]]) -> set[str]:
    found, waiting = {urn}, [urn]
    while waiting:
        for other in edges.get(waiting.pop(), set()) - found:
            found.add(other)
            waiting.append(other)
    return found


def _ranked(chosen: set[str], first: bool) -> Order:
    return lambda urn: (urn in chosen) != first


def _as_registered(urn: str) -> int:
    return 0


def _reversed(urns: list[str]) -> Order:
    place = {urn: -number for number, urn in enumerate(urns)}
    return lambda urn: place.get(urn, 0)
