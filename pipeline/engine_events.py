"""What Pulumi's engine reports of one run, resource by resource: typed, where its text is for people.

The engine sends these events to whoever asks for its event log (pulumi.automation's on_event), also where the run
fails; the text names the failed resources too, but not their types, and wraps and colours them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pulumi.automation.events import EngineEvent, OpType, StepEventMetadata

GROUP = "gcp:compute/regionInstanceGroupManager:RegionInstanceGroupManager"
CREATING = (OpType.CREATE, OpType.CREATE_REPLACEMENT, OpType.REPLACE)
REMOVING = (OpType.DELETE, OpType.DELETE_REPLACED, OpType.REPLACE)
# The engine's own marks for colours.
_COLOUR = re.compile(r"<\{%[^%]*%\}>")


@dataclass(frozen=True)
class Change:
    """One resource that a run changes, or would change.

    Attributes:
        operation: what is done to it.
        urn: the resource.
        keys: the inputs that differ.
        protected: whether the state protects it.
        about: what tells it to people, an address or a name of Google's.
    """

    operation: OpType
    urn: str
    keys: tuple[str, ...] = ()
    protected: bool = False
    about: str = ""

    def __str__(self) -> str:
        """Return the resource for a sentence."""
        return title(self.urn) + (f" ({self.about})" if self.about else "")


@dataclass(frozen=True)
class Failure:
    """A resource on which a run failed, and why."""

    urn: str
    reason: str

    def __str__(self) -> str:
        """Return the failure for a sentence."""
        return f"{title(self.urn)}: {self.reason}"

    @property
    def of_group(self) -> bool:
        """Return whether it is a group of machines, for which Google may only be slow."""
        return type_of(self.urn) == GROUP

    @property
    def timed_out(self) -> bool:
        """Return whether the provider waited for the group in vain (terraform-plugin-sdk's TimeoutError)."""
        return self.of_group and "timeout while waiting for state" in self.reason


class Events:
    """Collects the events of one run; handed to the engine as its on_event."""

    def __init__(self) -> None:
        self.planned: list[Change] = []
        self.done: list[Change] = []
        self._failed: list[str] = []
        self._reasons: dict[str, str] = {}

    def __call__(self, event: EngineEvent) -> None:
        """Take one event."""
        if event.resource_pre_event:
            self.planned.append(_change(event.resource_pre_event.metadata))
        if event.res_outputs_event:
            self.done.append(_change(event.res_outputs_event.metadata))
        if event.res_op_failed_event:
            self._failed.append(event.res_op_failed_event.metadata.urn)
        if (said := event.diagnostic_event) and said.severity == "error" and said.urn:
            # The first is the provider's, what follows counts the errors.
            self._reasons.setdefault(said.urn, _plain(said.message))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Return the resources on which the run failed."""
        return tuple(Failure(urn, self._reasons.get(urn, "no reason given")) for urn in dict.fromkeys(self._failed))

    @property
    def given_up(self) -> tuple[Change, ...]:
        """Return the protected resources that the run would remove, each once."""
        removed = {change.urn: change for change in self.planned if change.protected and change.operation in REMOVING}
        return tuple(removed.values())

    @property
    def moves_traffic(self) -> bool:
        """Return whether groups of machines are made, replaced or removed, so that others must serve before."""
        moving = (*CREATING, *REMOVING)
        return any(change.operation in moving and type_of(change.urn) == GROUP for change in self.planned)

    def differences(self) -> Iterable[Change]:
        """Yield what a refresh has found changed or gone."""
        for change in self.done:
            if change.operation in (OpType.UPDATE, OpType.DELETE):
                yield change


def type_of(urn: str) -> str:
    """Return a resource's type; a URN is urn:pulumi:STACK::PROJECT::PARENT-TYPES$TYPE::NAME."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """Return a resource's name in the program."""
    return urn.split("::", 3)[3]


def title(urn: str) -> str:
    """Return a resource as people read it: the last part of its type, and its name."""
    return f"{type_of(urn).rsplit(':', 1)[-1]} {name_of(urn)}"


def _change(step: StepEventMetadata) -> Change:
    state = step.old or step.new
    outputs = (state.outputs if state else None) or {}
    about = str(outputs.get("address") or outputs.get("repositoryId") or outputs.get("domain") or "")
    keys = tuple(step.detailed_diff or step.diffs or ())
    return Change(step.op, step.urn, keys, bool(step.old and step.old.protect), about)


def _plain(message: str) -> str:
    return " ".join(_COLOUR.sub("", message).split()).removeprefix("error: ")
