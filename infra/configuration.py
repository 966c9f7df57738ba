"""Reads the stack's configuration, all of it at once; the only reader of pulumi.Config.

The program reads what Pulumi hands it; the pipeline reads the same from Pulumi.STACK.yaml, without Pulumi.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from infra import names
from infra.checks import mistakes
from infra.setting_types import SettingType
from infra.settings import Settings, key


class SettingError(ValueError):
    """A configuration that cannot be used; the message has a line for each mistake, with its remedy."""


class _Loader(yaml.SafeLoader):
    """Takes a date for the text that it is, as Pulumi does."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def stack_file(file: Path) -> dict[str, Any]:
    """Return what a stack's file says; under "config" there is a table, perhaps an empty one.

    Raises:
        FileNotFoundError: there is no such file.
        SettingError: it is damaged.
    """
    try:
        document = yaml.load(file.read_text("utf-8"), _Loader) or {}  # noqa: S506  # a SafeLoader
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"{file.name} is no configuration of Pulumi: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or not isinstance(document.setdefault("config", {}) or {}, dict):
        raise SettingError(f"{file.name} is no configuration of Pulumi: expected `config:` with the settings below it")
    return {**document, "config": document["config"] or {}}


def from_config(config: Mapping[str, str], *, stack: str, project: str, region: str) -> Settings:
    """Read and check all settings.

    Args:
        config: keys without their namespace to values as Pulumi stores them: text, or JSON for lists.
        stack: the stack's name, part of every resource's name.
        project: Google's project id.
        region: Google's region.

    Raises:
        SettingError: a sentence for every mistake: the key, its value, what to write instead.
    """
    known = {key(item.name): item for item in fields(Settings) if item.metadata}
    sentences = [_unknown(name, list(known)) for name in config if name not in known]
    values: dict[str, Any] = {}
    for name, item in known.items():
        text = config.get(name, "").strip()
        if not text:
            continue
        setting_type: SettingType = item.metadata["type"]
        try:
            values[item.name] = setting_type.parse(text)
        except (ValueError, KeyError):
            sentences.append(f"{name} is {text!r}: expected {setting_type.expected}.")
    unread = {sentence.split(" ", 1)[0] for sentence in sentences}
    settings = Settings(stack=stack, project=project, region=region, **values)
    # What could not be read has its default here, of which there is nothing to say.
    sentences += [sentence for sentence in mistakes(settings) if sentence.split(" ", 1)[0] not in unread]
    if sentences:
        raise SettingError("\n".join(sentences))
    return settings


def load(folder: Path, stack: str, **carried: str) -> Settings:
    """Read a stack's settings from its Pulumi.STACK.yaml, as the program would get them.

    Args:
        folder: where Pulumi.yaml is.
        stack: the stack's name.
        carried: values that the file lacks and each `pulumi up` is given, such as the image.

    Raises:
        FileNotFoundError: there is no such file.
        SettingError: the file is damaged, or what it says cannot be used.
    """
    config = stack_file(folder / f"Pulumi.{stack}.yaml")["config"]
    given = {str(name): _text(value) for name, value in config.items()}
    prefix = f"{names.PULUMI_PROJECT}:"
    own = {name.removeprefix(prefix): text for name, text in given.items() if name.startswith(prefix)}
    return from_config(
        {**own, **carried},
        stack=stack,
        project=given.get("gcp:project", ""),
        region=given.get("gcp:region", ""),
    )


def read() -> Settings:
    """Read this stack's configuration from Pulumi.

    Raises:
        pulumi.RunError: with a line for each mistake, which Pulumi prints without a trace.
    """
    import pulumi

    config, google = pulumi.Config(), pulumi.Config("gcp")
    # pulumi.Config cannot list its keys, and a misspelt one would pass in silence.
    prefix = f"{config.name}:"
    keys = {name.removeprefix(prefix) for name in pulumi.runtime.get_config_env() if name.startswith(prefix)}
    keys |= {name for name, *_ in Settings.table()}
    values = {name: str(value) for name in sorted(keys) if (value := config.get(name)) is not None}
    try:
        return from_config(
            values, stack=pulumi.get_stack(), project=google.get("project") or "", region=google.get("region") or ""
        )
    except SettingError as error:
        raise pulumi.RunError(f"The configuration of stack {pulumi.get_stack()} has mistakes.\n{error}") from error


def _text(value: Any) -> str:
    """Return a value of the YAML file as Pulumi hands it to the program; a secret has no text here."""
    if isinstance(value, dict) and "secure" in value:
        return "(secret)"
    return value if isinstance(value, str) else json.dumps(value)


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else "Pulumi.yaml lists those that exist."
    return f"{name} is no setting of this stack: {hint}"
