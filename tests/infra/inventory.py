"""What a stack consists of, as text for people to review: every resource with its inputs, options and dependencies.

An inventory is whole, or says only what is different from another stack's: what a setting adds, removes and changes.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.infra.deployment import Deployment, Resource

_ALL_APIS = "every projects.Service"
# Options that the SDK's own classes add.
_SDK_OPTIONS = ("additionalSecretOutputs", "aliases")


class _Dumper(yaml.SafeDumper):
    """Several lines of text stand as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def render(deployment: Deployment, base: Deployment | None = None) -> str:
    """Return the inventory as YAML, in full or as the difference to a base."""
    whole = _describe(deployment)
    if base is None:
        return _dump(whole)
    before = _describe(base)
    parts = {
        "added": {name: item for name, item in whole.items() if name not in before},
        "removed": [name for name in before if name not in whole],
        "changed": {
            name: difference for name in whole if name in before if (difference := _differ(before[name], whole[name]))
        },
    }
    return _dump({name: part for name, part in parts.items() if part})


def _dump(content: dict[str, Any]) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return text


def _describe(deployment: Deployment) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for resource in sorted(deployment.custom, key=lambda r: (r.kind, r.name)):
        described[f"{resource.kind} {resource.name}"] = {
            key: value
            for key, value in {
                "part of": _parent(deployment, resource),
                "after": _after(deployment, resource),
                "options": {key: item for key, item in resource.options.items() if key not in _SDK_OPTIONS},
                "secret": sorted(resource.secrets),
                **_readable(resource),
            }.items()
            if value not in ([], {}, "")
        }
    described["outputs"] = _sorted(deployment.outputs)
    return described


def _readable(resource: Resource) -> dict[str, Any]:
    """Return the inputs, with documents in JSON as what they hold."""
    readable: dict[str, Any] = _sorted(
        {
            key: json.loads(value) if key.endswith("Json") and isinstance(value, str) else value
            for key, value in resource.inputs.items()
        }
    )
    return readable


def _sorted(value: Any) -> Any:
    """Return nested dictionaries in alphabetical order: on the wire they have none."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _parent(deployment: Deployment, resource: Resource) -> str:
    parent = deployment.by_urn[resource.parent]
    return "" if parent.type == "pulumi:pulumi:Stack" else f"{parent.type.rsplit(':', 1)[-1]} {parent.name}"


def _after(deployment: Deployment, resource: Resource) -> list[str]:
    """Return the dependencies that no other dependency implies."""
    implied = {
        urn for dependency in resource.dependencies for urn in deployment.upstream(deployment.by_urn[dependency])
    }
    needed = resource.dependencies - implied
    services = {service.urn for service in deployment.of("projects.Service")}
    names = [f"{deployment.by_urn[urn].kind} {deployment.by_urn[urn].name}" for urn in needed]
    if services <= needed:
        names = [_ALL_APIS, *(name for name in names if not name.startswith("projects.Service "))]
    return sorted(names)


def _differ(before: Any, after: Any) -> Any:
    """Return what is new in `after`, by key; what is gone is null, and lists and texts stand whole."""
    if before == after:
        return {}
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*after, *(key for key in before if key not in after)]
        return {
            key: difference
            for key in keys
            if (difference := _differ(before.get(key), after.get(key))) != {} or before.get(key) != after.get(key)
        }
    return after
