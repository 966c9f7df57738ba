"""What a run of the program registered: plain data, for inventories and invariants to read.

Nothing here knows how the program was run (engine.py) or what Google answers (cloud.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


class Unknown:
    """A value that only the deployment itself will tell, seen in previews. There is one, `UNKNOWN`."""

    def __repr__(self) -> str:
        return "<unknown>"

    def __reduce__(self) -> str:
        return "UNKNOWN"  # the same one in whichever process reads it


UNKNOWN: Final = Unknown()


# Outputs that name a resource, and by which others refer to it.
IDENTIFIERS = ("id", "selfLink", "selfLinkUnique", "name", "email", "instanceGroup")


@dataclass(frozen=True)
class Resource:
    """A registration, as the engine received it.

    Keys of `inputs` are the provider's names (camelCase). Secrets stand there in plain; `secrets` has their paths.
    `dependencies` and the values of `property_dependencies` are URNs.
    """

    type: str
    name: str
    urn: str
    parent: str
    custom: bool
    inputs: dict[str, Any]
    secrets: frozenset[str]
    outputs: dict[str, Any]
    dependencies: frozenset[str]
    property_dependencies: dict[str, frozenset[str]]
    options: dict[str, Any]

    @property
    def kind(self) -> str:
        """The SDK's class: `compute.InstanceTemplate` for `gcp:compute/instanceTemplate:InstanceTemplate`."""
        package, _, rest = self.type.partition(":")
        module, _, name = rest.rpartition(":")
        return f"{module.split('/')[0]}.{name}" if package == "gcp" else self.type

    @property
    def identifiers(self) -> set[str]:
        """The names and links by which others refer to it."""
        return {self.outputs[key] for key in IDENTIFIERS if isinstance(self.outputs.get(key), str)}

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


@dataclass(frozen=True)
class Message:
    """A line that the program sent to the person: `severity` is debug, info, warning or error."""

    severity: str
    text: str
    urn: str = ""


@dataclass(frozen=True)
class Deployment:
    """Everything that one run did, resources in the order of their registration.

    What does not depend on one another registers in any order. `config` is what the program was given.
    """

    project: str
    stack: str
    preview: bool
    config: Mapping[str, str]
    exit_code: int
    resources: tuple[Resource, ...]
    outputs: dict[str, Any]
    output_secrets: frozenset[str]
    messages: tuple[Message, ...]
    invokes: tuple[tuple[str, dict[str, Any]], ...]
    stdout: str
    stderr: str
    by_urn: Mapping[str, Resource] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_urn", {resource.urn: resource for resource in self.resources})

    @property
    def custom(self) -> tuple[Resource, ...]:
        """What exists in the cloud: every resource but components and the stack itself."""
        return tuple(resource for resource in self.resources if resource.custom)

    def setting(self, key: str) -> Any:
        """Return a setting of the program's own by its key: lists and numbers as such, None where it is not set."""
        text = self.config.get(f"{self.project}:{key}")
        try:
            return None if text is None else json.loads(text)
        except ValueError:
            return text

    def of(self, *kinds: str) -> list[Resource]:
        """Return the resources of some kinds, e.g. `of("compute.BackendService")`."""
        return [resource for resource in self.resources if resource.kind in kinds]

    def one(self, kind: str) -> Resource:
        """Return the only resource of a kind; AssertionError when there is none or another one."""
        found = self.of(kind)
        assert len(found) == 1, f"{len(found)} resources of kind {kind}, one expected: {[r.name for r in found]}"
        return found[0]

    def said(self, severity: str) -> list[str]:
        """Return the texts of the messages of a severity."""
        return [message.text for message in self.messages if message.severity == severity]

    def upstream(self, resource: Resource) -> set[str]:
        """Return the URNs of all that a resource depends on, directly or not; its parents are no dependency."""
        found: set[str] = set()
        waiting = list(resource.dependencies)
        while waiting:
            urn = waiting.pop()
            if urn not in found:
                found.add(urn)
                waiting.extend(self.by_urn[urn].dependencies)
        return found

    def referenced(self, resource: Resource, path: str) -> Resource:
        """Return the resource whose name, ID or link is the value at `path` of another's inputs."""
        value = next(iter(values(resource.inputs, path)), None)
        for candidate in self.custom:
            if value in candidate.identifiers:
                return candidate
        raise AssertionError(f"{resource}: {path} is {value!r}, which no resource of this stack has")


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of nested lists and dictionaries with its path, `rules[0].match.config.srcIpRanges[2]`.

    Empty lists and dictionaries are leaves.
    """
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from walk(item, f"{path}[{index}]")
    else:
        yield path, value


def values(inputs: Any, path: str) -> list[Any]:
    """Return what lies at a path, where `[]` stands for every element: `values(inputs, "rules[].action")`.

    What is absent, at any depth, adds nothing.
    """
    found = [inputs]
    for step in path.replace("[]", ".[]").strip(".").split("."):
        if step == "[]":
            found = [item for items in found if isinstance(items, list) for item in items]
        else:
            found = [item[step] for item in found if isinstance(item, dict) and step in item]
    return found


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested lists and dictionaries with `change` applied to each leaf."""
    if isinstance(value, dict):
        return {key: replaced(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, change) for item in value]
    return change(value)


def changes(before: Deployment, after: Deployment) -> dict[str, set[str]]:
    """Return, for each resource that two runs registered differently, the changed paths (`+` new, `-` gone).

    Resources are named as `str(resource)`; options and dependencies count, as `options` and `dependencies`.
    """
    found: dict[str, set[str]] = {}
    for urn in {**before.by_urn, **after.by_urn}:
        old, new = before.by_urn.get(urn), after.by_urn.get(urn)
        if old is None or new is None:
            found[str(new or old)] = {"-" if new is None else "+"}
            continue
        old_leaves, new_leaves = dict(walk(old.inputs)), dict(walk(new.inputs))
        paths = {path for path in old_leaves.keys() | new_leaves.keys() if old_leaves.get(path) != new_leaves.get(path)}
        paths |= {name for name in ("options", "dependencies") if getattr(old, name) != getattr(new, name)}
        if paths:
            found[str(new)] = paths
    return found
