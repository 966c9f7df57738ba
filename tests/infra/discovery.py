"""Inputs against Google's own descriptions of its APIs, which google-api-python-client ships.

The SDK takes any text for what is an enumeration at Google, and any number for what has a format. Names are mostly the
same on both sides; where they are not, shapes.py says what an input is called there, or that it is none of the API's.
An input that is neither is a mistake, so that nothing goes unchecked in silence.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from googleapiclient import discovery_cache

from tests.infra.deployment import Resource, walk
from tests.infra.shapes import NOT_IN_THE_API, PLACES, SHAPES, has_shape

# Enumerations that the API's descriptions spell out in words only.
_IN_WORDS = (
    ("SecurityPolicyRule", "action"),
    ("SecurityPolicyRuleRateLimitOptions", "conformAction"),
    ("SecurityPolicyRuleRateLimitOptions", "exceedAction"),
    ("HttpRetryPolicy", "retryConditions"),
)


@functools.cache
def schemas(api: str, version: str) -> dict[str, Any]:
    """Return the schemas of an API, as the package ships them.

    Raises:
        LookupError: it ships no such API.
    """
    text = discovery_cache.get_static_doc(api, version)
    if text is None:
        raise LookupError(f"google-api-python-client has no description of {api} {version}")
    found: dict[str, Any] = json.loads(text)["schemas"]
    return found


@dataclass(frozen=True)
class Leaf:
    """An input's value with the API's description of its field, None where there is no such field."""

    path: str
    value: Any
    schema: dict[str, Any] | None
    owner: str = ""

    @property
    def choices(self) -> list[str]:
        """Return the values that the API names, empty where the field is no enumeration."""
        schema = self.schema or {}
        if (self.owner, self.path.rsplit(".", 1)[-1].split("[")[0]) in _IN_WORDS:
            return in_words(schema.get("description", ""))
        return [
            choice
            for choice, old in zip(schema.get("enum", []), _padded(schema.get("enumDeprecated", [])), strict=False)
            if not old
        ]

    def mistakes(self) -> Iterator[str]:
        if self.schema is None:
            yield f"{self.path}: the API has no such field"
            return
        if not _fits(self.value, self.schema):
            kind = " ".join(filter(None, (self.schema.get("type"), self.schema.get("format"))))
            yield f"{self.path}: {self.value!r} is no {kind}"
        if self.choices and self.value not in self.choices:
            yield f"{self.path}: {self.value!r} is none of {', '.join(self.choices)}"
        pattern = self.schema.get("pattern")
        if pattern and isinstance(self.value, str) and not re.fullmatch(pattern, self.value):
            yield f"{self.path}: {self.value!r} does not match {pattern}"
        if self.schema.get("readOnly") or self.schema.get("description", "").startswith("[Output Only]"):
            yield f"{self.path}: only Google sets this field"
        if self.schema.get("deprecated"):
            yield f"{self.path}: this field is deprecated"


def leaves(resource: Resource) -> Iterator[Leaf]:
    """Yield every input of a resource with its field's description."""
    shape = SHAPES[resource.kind]
    inputs: Any = resource.inputs
    if resource.kind == "monitoring.Dashboard":
        inputs = json.loads(resource.inputs["dashboardJson"])
    for path, value in walk(inputs):
        general = re.sub(r"\[\d+\]", "[]", path)
        if general in PLACES:
            continue
        beginning = max((b for b in shape.renamed if general.startswith(b)), key=len, default=None)
        if beginning is not None:
            if shape.renamed[beginning] == NOT_IN_THE_API:
                continue
            general = shape.renamed[beginning] + general.removeprefix(beginning)
        if value in ([], {}):
            continue
        owner, schema = _field(schemas(shape.api, shape.version), shape.schema, general)
        yield Leaf(f"{resource}.{path}", value, schema, owner)


def mistakes(resource: Resource) -> list[str]:
    """Return a sentence for every input that Google's API would not take, and for a name that it would not.

    Raises:
        KeyError: nobody has said which schema this kind of resource has.
    """
    if not has_shape(resource.kind):
        return []
    found = [mistake for leaf in leaves(resource) for mistake in leaf.mistakes()]
    name = resource.outputs.get("name", "")
    shape = SHAPES[resource.kind]
    _, schema = _field(schemas(shape.api, shape.version), shape.schema, "name")
    pattern = (schema or {}).get("pattern")
    if pattern and name and not re.fullmatch(pattern, name):
        found.append(f"{resource}: the name {name!r} does not match {pattern}")
    return found


def _field(known: dict[str, Any], start: str, path: str) -> tuple[str, dict[str, Any] | None]:
    """Return the schema that a field is described in, and its description.

    The provider writes a list of one as its element, and a dictionary by id as a list: brackets are no obstacle.
    """
    owner, schema = start, known[start]
    for step in path.replace("[]", "").split("."):
        schema = _element(known, schema)
        owner = schema.get("id", owner)
        if step in schema.get("properties", {}):
            schema = schema["properties"][step]
        elif "additionalProperties" in schema:
            schema = schema["additionalProperties"]
            inner = _element(known, schema)
            # An element of a dictionary by id, written as a list, has its fields right here.
            if step in inner.get("properties", {}):
                schema = inner["properties"][step]
        else:
            return owner, None
    return owner, _element(known, schema, keep_description=True)


def _element(known: dict[str, Any], schema: dict[str, Any], keep_description: bool = False) -> dict[str, Any]:
    """Return what a reference or a list is about."""
    description = schema.get("description", "")
    while True:
        if "$ref" in schema:
            schema = known[schema["$ref"]]
        elif schema.get("type") == "array":
            schema = schema["items"]
        else:
            return {"description": description, **schema} if keep_description else schema


def in_words(description: str) -> list[str]:
    """Return the values that a description lists as bullets, or in quotation marks; STATUS stands for numbers."""
    named = re.findall(r"^\s*- ([\w-]+(?:\(STATUS\))?):", description, re.MULTILINE)
    named += re.findall(r"""[`"]([\w-]+(?:\(STATUS\))?)[`"]""", description)
    statuses = re.findall(r"\d+", "".join(re.findall(r"values for\s+`STATUS`\s+are ([\d,\sand]+)", description)))
    return [
        choice
        for name in named
        if name != "STATUS"
        for choice in ([name.replace("STATUS", status) for status in statuses] if "STATUS" in name else [name])
    ]


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    kind, form = schema.get("type"), schema.get("format", "")
    if kind == "string" and "int64" in form:
        # Numbers that JSON cannot hold travel as text, and the provider takes them as numbers.
        return (isinstance(value, int) and not isinstance(value, bool)) or str(value).isdigit()
    if kind == "integer":
        limit = 2**31 if form.endswith("int32") else 2**63
        return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string" and form == "google-duration":
        return isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?s", value) is not None
    return (kind == "string" and isinstance(value, str)) or kind == "any"


def _padded(marks: list[bool]) -> list[bool]:
    return marks + [False] * 1000
