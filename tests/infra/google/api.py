"""A Google Cloud project: what exists, which machines serve, and the API in front of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from tests.infra import cloud
from tests.infra.deployment import values
from tests.infra.google import api_rules, provider_rules
from tests.infra.google.calls import Call, Refusal, paths

GROUP = "compute.RegionInstanceGroupManager"
AUTOSCALER = "compute.RegionAutoscaler"


@dataclass(frozen=True)
class Thing:
    """What exists: its fields as the provider has sent them, and the run of the program that made it."""

    kind: str
    fields: Mapping[str, Any]
    born: int


@dataclass(frozen=True)
class Machines:
    """A group's machines: `ready` ones are of the template `serving`, and the group wants them of `wanted`."""

    size: int
    wanted: Mapping[str, Any]
    serving: Mapping[str, Any] | None = None

    @property
    def ready(self) -> bool:
        return self.size > 0 and self.serving is not None

    @property
    def port(self) -> int:
        """The port at which they answer."""
        return port(self.serving or {})

    @property
    def address(self) -> str:
        """The external address that the one machine has, or nothing."""
        return external_address(self.serving or {})


@dataclass
class GoogleProject:
    """The project. `answering` are the APIs that are enabled and have become known; the rest is what calls made.

    A copy shares nothing that changes: things and machines are replaced, never altered.
    """

    answering: frozenset[str]
    currency: str = "USD"
    # Whether an API that has just been enabled answers at once (most do), or not before the next run.
    answers_at_once: bool = True
    agents: frozenset[str] = frozenset()
    run: int = 0
    things: dict[str, Thing] = field(default_factory=dict)
    machines: dict[str, Machines] = field(default_factory=dict)
    enabled: frozenset[str] = frozenset()
    # Names of rules that do not count.
    lenient: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.enabled |= self.answering

    def copy(self) -> GoogleProject:
        return replace(self, things=dict(self.things), machines=dict(self.machines))

    def send(self, call: Call) -> Refusal | None:
        """Do what a call asks for, or refuse it by the first rule that has something against it."""
        for rule in api_rules.RULES:
            if call.action in rule.actions and rule.name not in self.lenient:
                for text in rule.said(self, call):
                    return Refusal(rule.name, rule.status, call, text)
        self._do(call)
        return None

    def held(self, path: str) -> dict[str, Any]:
        """Return what a read of a thing tells: its fields, and how many machines a group has."""
        fields = dict(self.things[path].fields)
        return {**fields, "targetSize": self.machines[path].size} if path in self.machines else fields

    def settle(self) -> None:
        """Let time pass: groups start their machines, APIs become known, the next run begins."""
        for path, group in self.machines.items():
            if group.size and not list(self.hindered(path, 0)):
                self.machines[path] = replace(group, serving=group.wanted)
        self.answering |= self.enabled
        self.run += 1

    def autoscaler_of(self, group: str) -> str:
        """Return the path of a group's autoscaler, or nothing."""
        for path, thing in self.things.items():
            if thing.kind == AUTOSCALER and group in paths(thing.fields["target"]):
                return path
        return ""

    def priorities(self, policy: str) -> set[int]:
        """Return the priorities of a security policy's rules."""
        return {rule["priority"] for rule in self.things[policy].fields["rules"]}

    def referred(self, path: str) -> set[str]:
        """Return the paths that a thing's fields refer to; an alert names its uptime check by the check's id."""
        fields = dict(self.things[path].fields)
        checks = re.findall(r'check_id\s*=\s*"([\w-]+)"', str(fields)) if "alertPolicies" in path else []
        zone = {f"projects/{cloud.PROJECT}/managedZones/{fields['managedZone']}"} if "managedZone" in fields else set()
        return paths(fields) | zone | {f"projects/{cloud.PROJECT}/uptimeCheckConfigs/{check}" for check in checks}

    def template(self, group: str) -> Mapping[str, Any]:
        """Return the fields of the template that a group is set to."""
        (link,) = values(dict(self.things[group].fields), "versions[].instanceTemplate")
        (path,) = [path for path in paths(link) if path in self.things]
        return self.things[path].fields

    def probed(self, group: str) -> int | None:
        """Return the port at which autohealing asks a group's machines."""
        for path in paths(values(dict(self.things[group].fields), "autoHealingPolicies.healthCheck")):
            return int(self.things[path].fields["httpHealthCheck"]["port"])
        return None

    def hindered(self, group: str, minutes: float) -> Iterator[str]:
        """Yield why a group's machines do not become healthy, or its update, of some minutes a batch, not in time."""
        machines, fields = self.machines[group], self.things[group].fields
        if not machines.size:
            return
        if self.probed(group) not in (None, port(machines.wanted)):
            yield f"autohealing asks at port {self.probed(group)}, and the machines answer at {port(machines.wanted)}"
        address = external_address(machines.wanted)
        for other, one in self.machines.items():
            if address and other != group and one.ready and one.address == address:
                yield f"the address {address} is in use by a machine of {other}"
        surge = fields["updatePolicy"].get("maxSurgeFixed") or fields["updatePolicy"].get("maxUnavailableFixed") or 1
        needed = ceil(self._largest(group) / surge) * minutes
        if needed > provider_rules.WAIT_MINUTES:
            yield f"{needed} minutes of an update, after {provider_rules.WAIT_MINUTES} the provider gives up"

    def _largest(self, group: str) -> int:
        """Return the most machines that a group may have just now."""
        autoscaler = self.autoscaler_of(group)
        most = self.things[autoscaler].fields["autoscalingPolicy"]["maxReplicas"] if autoscaler else 0
        return max(int(most), self.machines[group].size)

    def _do(self, call: Call) -> None:
        thing = self.things.get(call.target)
        if call.action == "enable":
            self.enabled |= {call.target.partition(".")[0]}
            if self.answers_at_once:
                self.answering |= self.enabled
        elif call.action == "create":
            self.things[call.target] = Thing(call.kind, dict(call.fields), self.run)
            if call.kind == "projects.ServiceIdentity":
                self.agents |= {str(call.fields["service"]).partition(".")[0]}
        elif call.action == "delete":
            del self.things[call.target]
            self.machines.pop(call.target, None)
        elif thing and call.action in ("update", "resize"):
            self.things[call.target] = replace(thing, fields={**thing.fields, **call.fields})
        elif thing and call.action.endswith("-rule"):
            priority = call.fields["rule"]["priority"]
            rules = [rule for rule in thing.fields["rules"] if rule["priority"] != priority]
            rules += [] if call.action == "remove-rule" else [call.fields["rule"]]
            self.things[call.target] = replace(thing, fields={**thing.fields, "rules": rules})
        self._move_machines(call)

    def _move_machines(self, call: Call) -> None:
        if call.kind == AUTOSCALER and call.action in ("create", "update"):
            fields = self.things[call.target].fields
            (group,) = paths(fields["target"])
            least = int(fields["autoscalingPolicy"]["minReplicas"])
            self.machines[group] = replace(self.machines[group], size=max(self.machines[group].size, least))
        if call.kind != GROUP or call.action == "delete":
            return
        if call.action == "create":
            self.machines[call.target] = Machines(int(call.fields.get("targetSize") or 0), self.template(call.target))
        elif call.action == "resize":
            self.machines[call.target] = replace(self.machines[call.target], size=int(call.fields["targetSize"]))
        elif call.action == "update" and "versions" in call.fields:
            self._roll(call.target)
        elif call.action == "wait":
            self.machines[call.target] = replace(self.machines[call.target], serving=self.machines[call.target].wanted)

    def _roll(self, group: str) -> None:
        """Begin an update: machines that may all be unavailable at once are gone until the new ones are there."""
        machines = replace(self.machines[group], wanted=self.template(group))
        unavailable = self.things[group].fields["updatePolicy"].get("maxUnavailableFixed") or 0
        self.machines[group] = replace(machines, serving=None) if unavailable >= machines.size else machines


def port(template: Mapping[str, Any]) -> int:
    """Return the port at which machines of a template answer: what their container publishes."""
    found = re.search(r"--publish=(\d+):", str(template.get("metadata", {}).get("user-data", "")))
    return int(found[1]) if found else 0


def external_address(template: Mapping[str, Any]) -> str:
    """Return the external address that a template gives its machine, or nothing."""
    found = values(dict(template), "networkInterfaces[].accessConfigs[].natIp")
    return str(found[0]) if found else ""
