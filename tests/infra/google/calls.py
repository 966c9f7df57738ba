"""A call to one of Google's APIs, as the provider makes it, and a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.infra import cloud

# Collections whose things are known by numbers that Google gives.
_NUMBERED = "alertPolicies|dashboards|budgets|notificationChannels|uptimeCheckConfigs"


@dataclass(frozen=True)
class Call:
    """A call that changes something.

    Attributes:
        action: create, update, delete; resize, add-rule, patch-rule, remove-rule; grant, revoke, enable; or wait, which
            is the provider's own: it looks at a group until all its machines are healthy.
        method: HTTP's.
        path: below the API's host, with what follows a question mark.
        kind: of the resource that it is made for.
        target: path of what it is about, by which others refer to it.
        fields: what is set, by the provider's names.
    """

    action: str
    method: str
    path: str
    kind: str
    target: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def api(self) -> str:
        """The service that answers it: `compute` for /compute/beta/projects/..."""
        return self.path.split("/")[1]

    @property
    def line(self) -> str:
        """What the recordings have of it: method and path, without what is random in names."""
        return mask(f"{self.method} {self.path}")


@dataclass(frozen=True)
class Refusal:
    """What the API, or the provider after its wait, says instead of doing it."""

    rule: str
    status: int
    call: Call
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.call.line or self.call.target}: {self.text}"


def mask(text: str) -> str:
    """Return a line as the recordings have it: suffixes and numbers masked, the fields of an updateMask in order."""
    text = re.sub(r"-[0-9a-f]{7}(?![0-9a-z-])", "-SUFFIX", text)
    text = re.sub(f"/({_NUMBERED})/[\\w-]+", r"/\1/ID", text)
    start, found, fields = text.partition("updateMask=")
    return f"{start}{found}{'%2C'.join(sorted(fields.split('%2C')))}"


def paths(value: Any) -> set[str]:
    """Return the paths of what a value refers to: `projects/P/global/networks/N` in a link or by itself.

    A unique link of a template and the group of a group's manager are those of the template and the manager.
    """
    found: set[str] = set()
    if isinstance(value, str):
        for path in re.findall(r"(?:projects|billingAccounts)/[\w./@-]+", value):
            found.add(path.replace("/instanceGroups/", "/instanceGroupManagers/"))
    elif isinstance(value, Mapping):
        for item in value.values():
            found |= paths(item)
    elif isinstance(value, list):
        for item in value:
            found |= paths(item)
    return found


def place(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the braces of a path may name."""
    # Where an API has one location only, its provider fills it in.
    return {
        "project": cloud.PROJECT, "number": cloud.PROJECT_NUMBER, "region": cloud.REGION, "location": "global", **fields
    }  # fmt: skip
