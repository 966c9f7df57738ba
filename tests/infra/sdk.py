"""What the provider's SDK says about a resource: its class, and the types of its inputs and outputs.

The engine gets inputs as JSON, after every dictionary and misspelt key has passed; here each is held against the
annotations of the SDK's argument classes.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections import abc
from collections.abc import Iterator
from typing import Any

from pulumi import Output, _types

from tests.infra.deployment import UNKNOWN, Resource


@functools.cache
def resource_class(kind: str) -> type:
    """Return the SDK's class of a kind such as `compute.InstanceTemplate`.

    Raises:
        LookupError: the SDK has no such class.
    """
    module, _, name = kind.rpartition(".")
    try:
        found = getattr(importlib.import_module(f"pulumi_gcp.{module}"), name)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"the SDK has no resource {kind}") from error
    assert isinstance(found, type)
    return found


@functools.cache
def arguments_class(kind: str) -> type:
    """Return the SDK's class of a resource's arguments, `compute.InstanceTemplateArgs`."""
    return resource_class(f"{kind}Args")


@functools.cache
def input_types(kind: str) -> dict[str, Any]:
    """Return a resource's inputs, by the provider's names, with their types."""
    types: dict[str, Any] = _types.input_type_types(arguments_class(kind))
    return types


@functools.cache
def output_types(kind: str) -> dict[str, Any]:
    """Return the outputs that a resource always has, by the provider's names, with their types."""
    hints = _types._raw_return_hints(resource_class(kind))
    always = {}
    for name, hint in hints.items():
        (value,) = typing.get_args(hint) if typing.get_origin(hint) is Output else (hint,)
        if type(None) not in typing.get_args(value):
            always[name] = value
    return always


def input_mistakes(resource: Resource) -> list[str]:
    """Return a sentence for each input that the SDK's annotations do not allow; empty when all is well."""
    return list(_object_mistakes(resource.inputs, arguments_class(resource.kind), str(resource)))


def _object_mistakes(value: dict[str, Any], arguments: type, path: str) -> Iterator[str]:
    types = _types.input_type_types(arguments)
    for key in value.keys() - types.keys():
        yield f"{path}.{key}: {arguments.__name__} has no such argument"
    for key in _required(arguments) - value.keys():
        yield f"{path}.{key}: {arguments.__name__} requires it"
    for key in sorted(value.keys() & types.keys()):
        yield from _mistakes(value[key], types[key], f"{path}.{key}")


def _mistakes(value: Any, expected: Any, path: str) -> Iterator[str]:
    options = list(_options(expected))
    if value is UNKNOWN:
        return
    found = [list(_mistakes_of_one(value, option, path)) for option in options]
    if not any(not mistakes for mistakes in found):
        yield from min(found, key=len)


def _mistakes_of_one(value: Any, expected: Any, path: str) -> Iterator[str]:
    origin = typing.get_origin(expected)
    if expected is Any:
        return
    if origin is abc.Sequence:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for index, item in enumerate(value):
            yield from _mistakes(item, typing.get_args(expected)[0], f"{path}[{index}]")
    elif origin is abc.Mapping:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no dictionary"
            return
        for key, item in value.items():
            yield from _mistakes(item, typing.get_args(expected)[1], f"{path}.{key}")
    elif _types.is_input_type(expected):
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no {expected.__name__}"
            return
        yield from _object_mistakes(value, expected, path)
    elif expected in (str, int, bool):
        if type(value) is not expected:
            yield f"{path}: {value!r} is no {expected.__name__}"
    elif expected is float:
        if type(value) not in (int, float):
            yield f"{path}: {value!r} is no number"
    else:
        yield f"{path}: this check knows no type {expected!r}"


def _options(hint: Any) -> Iterator[Any]:
    """Return what a value may be, without pulumi's wrapping in futures and outputs."""
    if typing.get_origin(hint) is typing.Union:
        for option in typing.get_args(hint):
            if option is not type(None) and typing.get_origin(option) not in (abc.Awaitable, Output):
                yield from _options(option)
    else:
        yield hint


@functools.cache
def _required(arguments: type) -> frozenset[str]:
    names = _types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments.__init__).parameters  # type: ignore[misc]  # of a class we only read
    return frozenset(
        names[name] for name, parameter in parameters.items() if name in names and parameter.default is parameter.empty
    )
