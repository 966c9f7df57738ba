"""The types of configuration values: how Pulumi's text becomes one, and how to say what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class SettingType:
    """A type: `parse` raises ValueError or KeyError where the text is not `expected`."""

    parse: Callable[[str], Any]
    expected: str
    pulumi_type: str


def integer(low: int, high: int) -> SettingType:
    """Return the type of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return SettingType(parse, f"a whole number from {low} to {high}", "integer")


def one_of(*choices: str) -> SettingType:
    """Return the type of texts that are among `choices`."""
    return SettingType({choice: choice for choice in choices}.__getitem__, "one of " + ", ".join(choices), "string")


def _texts(text: str) -> tuple[str, ...]:
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return tuple(item.strip() for item in value)


TEXT = SettingType(str, "text", "string")
BOOLEAN = SettingType({"true": True, "false": False}.__getitem__, "true or false", "boolean")
LIST = SettingType(_texts, "a list of texts", "array")


def setting(default: T, kind: SettingType, text: str) -> T:
    """Return a dataclass field with its type and its sentence.

    It is typed as the default's type, as dataclasses.field() is, so that the annotations stay honest.
    """
    value: Any = field(default=default, metadata={"type": kind, "text": text})
    result: T = value
    return result
