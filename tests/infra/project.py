"""Pulumi.yaml and Pulumi.<stack>.yaml as the command line makes a configuration of them, with its refusals.

After sdk/go/common/workspace/config.go of pulumi: a key that Pulumi.yaml declares without a default must be set in the
stack; values must have the declared type; lists reach the program as JSON, all else as text.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class CommandLineRefusal(Exception):
    """What `pulumi up` would say instead of running the program."""


@dataclass(frozen=True)
class Project:
    """A folder with a Pulumi.yaml."""

    root: Path

    @functools.cached_property
    def definition(self) -> dict[str, Any]:
        return _read(self.root / "Pulumi.yaml")

    @property
    def name(self) -> str:
        return str(self.definition["name"])

    @property
    def program(self) -> Path:
        """The directory that the program runs in."""
        return self.root / str(self.definition.get("main", "."))

    def configuration(self, stack: str, more: Mapping[str, Any]) -> dict[str, str]:
        """Return a stack's configuration as the program gets it.

        Args:
            stack: Pulumi.<stack>.yaml is read where there is one.
            more: what `pulumi config set` would add; keys without a namespace are the project's.

        Raises:
            CommandLineRefusal: for what the command line refuses before it runs the program.
        """
        file = self.root / f"Pulumi.{stack}.yaml"
        given = dict(_read(file).get("config") or {}) if file.exists() else {}
        values = {self._key(key): value for key, value in {**given, **more}.items()}
        missing = []
        for name, declared in self.definition.get("config", {}).items():
            key = self._key(name)
            if key not in values and "default" in declared:
                values[key] = declared["default"]
            elif key not in values:
                missing.append(name)
            elif not _fits(values[key], declared):
                raise CommandLineRefusal(
                    f"Stack '{stack}' with configuration key '{name}' must be of type '{_type_name(declared)}'"
                )
        if missing:
            raise CommandLineRefusal(f"Stack '{stack}' is missing configuration {', '.join(missing)}")
        return {key: _text(value) for key, value in values.items()}

    def _key(self, name: str) -> str:
        return name if ":" in name else f"{self.name}:{name}"


def _read(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text("utf-8"))
    assert isinstance(content, dict)
    return content


def _fits(value: Any, declared: Mapping[str, Any]) -> bool:
    kind = declared["type"]
    if kind == "array":
        return isinstance(value, list) and all(_fits(item, declared["items"]) for item in value)
    if kind == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)) or _parses(int, value)
    if kind == "boolean":
        return isinstance(value, bool) or value in ("true", "false")
    if kind == "object":
        return isinstance(value, dict)
    return kind == "string" and isinstance(value, str)


def _parses(parse: Callable[[str], Any], value: Any) -> bool:
    try:
        parse(value)
    except (TypeError, ValueError):
        return False
    return True


def _type_name(declared: Mapping[str, Any]) -> str:
    return f"array<{_type_name(declared['items'])}>" if declared["type"] == "array" else str(declared["type"])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    # json writes true, false and numbers as the command line does.
    return json.dumps(value, separators=(",", ":"))
