"""References between resources, kept as references: what a resource is called changes when it is replaced.

The tests' engine answers with values, `classifier-dev-spot-4d78d92`; here each such value in another's inputs becomes
the output that it came from, and is looked up again each time, as Pulumi's outputs are.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.infra.deployment import UNKNOWN, Deployment, Resource, replaced

# How a reference is written inside a text; no input has characters of the private use area.
_OPEN, _BETWEEN, _CLOSE = "\ue000", "\ue001", "\ue002"
_REFERENCE = re.compile(f"{_OPEN}(.*?){_BETWEEN}(.*?){_CLOSE}")
# What the engine's cloud.py makes up: seven characters after a name, a number as the last part of a path.
_SUFFIX = re.compile(r'-[0-9a-f]{7}(?=$|[/?"])')
_NUMBER = re.compile(r"(?<=[/=])\d+$")
_ADDRESSES = ("address", "ipAddress")

Lookup = Callable[[str, str], Any]


def symbolic(deployment: Deployment) -> Deployment:
    """Return a run whose resources refer to one another's outputs instead of containing them."""
    return dataclasses.replace(
        deployment, resources=tuple(_symbolic(resource, deployment.by_urn) for resource in deployment.resources)
    )


def resolve(inputs: Any, lookup: Lookup) -> Any:
    """Return inputs with each reference looked up; a text of which a part is unknown is unknown."""

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, str) or _OPEN not in leaf:
            return leaf
        found = [lookup(urn, output) for urn, output in _REFERENCE.findall(leaf)]
        if UNKNOWN in found:
            return UNKNOWN
        values = iter(found)
        return _REFERENCE.sub(lambda _: str(next(values)), leaf)

    return replaced(inputs, change)


def outputs(resource: Resource, serial: int) -> dict[str, Any]:
    """Return what the provider would compute for a resource that is the `serial`th thing made."""
    known = {}
    for name, value in resource.outputs.items():
        if name in resource.inputs or not isinstance(value, str):
            continue
        if name in _ADDRESSES:
            six = resource.inputs.get("ipVersion") == "IPV6"
            known[name] = f"2001:db8::{serial:x}" if six else f"198.18.{serial >> 8}.{serial & 255}"
        else:
            known[name] = _NUMBER.sub(str(serial), _SUFFIX.sub(f"-{serial:07x}", value))
    return known


def _symbolic(resource: Resource, by_urn: Mapping[str, Resource]) -> Resource:
    inputs = dict(resource.inputs)
    for name, urns in resource.property_dependencies.items():
        texts = [pair for urn in sorted(urns) for pair in _computed(by_urn[urn])]
        # The longest first: a link contains a path, which contains a name.
        change = functools.partial(_refer, sorted(texts, key=lambda pair: -len(pair[0])))
        inputs[name] = replaced(inputs[name], change)
    return dataclasses.replace(resource, inputs=inputs)


def _computed(resource: Resource) -> list[tuple[str, str]]:
    return [
        (value, f"{_OPEN}{resource.urn}{_BETWEEN}{name}{_CLOSE}")
        for name, value in resource.outputs.items()
        if name not in resource.inputs and isinstance(value, str) and len(value) > 6 and value != "some-project"
    ]


def _refer(texts: list[tuple[str, str]], leaf: Any) -> Any:
    if not isinstance(leaf, str):
        return leaf
    # One after the other, and never inside of what was found before.
    parts = [leaf]
    for text, reference in texts:
        split: list[str] = []
        for part in parts:
            if _OPEN in part:
                split.append(part)
                continue
            pieces = part.split(text)
            split += [item for piece in pieces for item in (reference, piece)][1:]
        parts = split
    return "".join(parts)
