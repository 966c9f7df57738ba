"""The kinds of configuration values: how Pulumi's text becomes one, and how to say what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """A kind: `parse` raises ValueError or KeyError where the text is not `expected`."""

    parse: Callable[[str], Any]
    expected: str
    pulumi_type: str


def integer(low: int, high: int) -> Kind:
    """Return the kind of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return Kind(parse, f"a whole number from {low} to {high}", "integer")


def one_of(*choices: str) -> Kind:
    """Return the kind of texts that are among `choices`."""
    return Kind({choice: choice for choice in choices}.__getitem__, "one of " + ", ".join(choices), "string")


def _texts(text: str) -> tuple[str, ...]:
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return tuple(item.strip() for item in value)


TEXT = Kind(str, "text", "string")
BOOLEAN = Kind({"true": True, "false": False}.__getitem__, "true or false", "boolean")
LIST = Kind(_texts, "a list of texts", "array")


def setting(default: T, kind: Kind, text: str) -> T:
    """Return a dataclass field with its kind and its sentence.

    It is typed as the default's type, as dataclasses.field() is, so that the annotations stay honest.
    """
    value: Any = field(default=default, metadata={"kind": kind, "text": text})
    result: T = value
    return result
