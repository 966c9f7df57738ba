"""What a program's inputs are to the provider, after its rules: what arrives, what differs, what must be replaced."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.infra.deployment import UNKNOWN, walk
from tests.infra.google import provider_rules as rules
from tests.infra.google.provider_kinds import GRANTS, KINDS

Fields = Mapping[str, Any]
_EMPTY = (None, False, 0, "")


def sent(kind: str, inputs: Fields) -> dict[str, Any]:
    """Return what arrives at Google: without zeros, where the provider drops them, and without what steers itself."""
    return {
        key: value if (kind, key) in rules.SENDS_ZEROS else _without_zeros(value)
        for key, value in inputs.items()
        if (kind, key) not in rules.VIRTUAL and not _is_empty(kind, key, value)
    }


def misunderstood(kind: str, inputs: Fields) -> list[str]:
    """Return the zeros of a program that Google takes for something else, since they never arrive."""
    arrives = dict(walk(sent(kind, inputs)))
    return [
        f"{kind}.{path}: {value!r} is not sent, and Google takes {rules.DEFAULTS[kind, path][0]}"
        for path, value in walk(dict(inputs))
        if path not in arrives and (kind, path) in rules.DEFAULTS and rules.DEFAULTS[kind, path][0] != value
    ]


def diff(kind: str, old: Fields, new: Fields) -> set[str]:
    """Return the keys that differ, without indices: what is empty equals what is absent, sets have no order."""
    found = set()
    for key in old.keys() | new.keys():
        if kind == "monitoring.Dashboard" and key == "dashboardJson":
            found |= {key} if _other_dashboard(old.get(key), new.get(key)) else set()
        else:
            found |= differences(kind, key, old.get(key), new.get(key))
    return found


def kept(kind: str, old: Fields, new: Fields) -> dict[str, Any]:
    """Return the new inputs with what stays although the program leaves it out."""
    found = dict(new)
    for rule_kind, path in rules.KEEPS:
        top, _, rest = path.partition(".")
        if rule_kind != kind or top not in old:
            continue
        if not rest:
            found.setdefault(top, old[top])
        elif isinstance(found.get(top), Mapping) and rest in old[top]:
            found[top] = {rest: old[top][rest], **found[top]}
    return found


def replaces(kind: str, keys: Iterable[str], old: Fields, new: Fields) -> bool:
    """Return whether a change of some keys makes another resource of it."""
    if kind in GRANTS or kind == "projects.Service":
        return any((kind, key) not in rules.VIRTUAL for key in keys)
    force = ("name", "project", *KINDS[kind].replaces)
    if kind == "compute.Subnetwork" and "ipCidrRange" in keys and not _grows(old["ipCidrRange"], new["ipCidrRange"]):
        return True
    return any(
        key == name or key.startswith(f"{name}.") or (name == "*" and (kind, key) not in rules.VIRTUAL)
        for key in keys
        for name in force
    )


def read_back(kind: str, inputs: Fields, held: Fields) -> dict[str, Any]:
    """Return what the state has after a read: what was asked for, but for what Google tells differently."""
    found = dict(inputs)
    if kind == "monitoring.Dashboard":
        # Zeros and empty lists are left out of the answer: finding E1.
        found["dashboardJson"] = json.dumps(_without_zeros(json.loads(held["dashboardJson"])))
    if kind == "compute.SecurityPolicy":
        found["rules"] = held["rules"]  # all of the policy's, whoever made them: finding B12
    if kind == "compute.RegionInstanceGroupManager":
        found["targetSize"] = held["targetSize"]
    return found


def differences(kind: str, path: str, old: Any, new: Any) -> set[str]:
    """Return the keys at and below a path that differ between two values."""
    if new is UNKNOWN:
        return {path}
    sets = KINDS[kind].sets if kind in KINDS else ()
    if path in sets:
        return {path} if sorted(map(_canonical, old or [])) != sorted(map(_canonical, new or [])) else set()
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        if old is None or new is None:
            # A block that comes or goes is shown as a whole, unless there is nothing in it.
            return {path} if _canonical(old or {}) != _canonical(new or {}) else set()
        one, other = (value if isinstance(value, Mapping) else {} for value in (old, new))
        keys = {**one, **other}
        return set().union(*(differences(kind, f"{path}.{key}", one.get(key), other.get(key)) for key in keys))
    if isinstance(old, list) or isinstance(new, list):
        if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
            return {path} if old or new else set()
        return set().union(*(differences(kind, path, *pair) for pair in zip(old, new, strict=True)))
    return set() if old == new or (old in _EMPTY and new in _EMPTY) else {path}


def _canonical(value: Any) -> str:
    return json.dumps(_map(value, lambda leaf: "?" if leaf is UNKNOWN else leaf), sort_keys=True)


def _map(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        # In sets of blocks the order of an inner list never mattered here: ranges, members.
        return {key: _map(item, change) for key, item in value.items() if item not in ([], {}, *_EMPTY)}
    if isinstance(value, list):
        return sorted((_map(item, change) for item in value), key=str)
    return change(value)


def _without_zeros(value: Any) -> Any:
    if isinstance(value, Mapping):
        found = {key: _without_zeros(item) for key, item in value.items()}
        return {key: item for key, item in found.items() if item not in ([], {}) and not _is_zero(item)}
    if isinstance(value, list):
        return [_without_zeros(item) for item in value]
    return value


def _is_zero(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str, type(None))) and not value


def _is_empty(kind: str, key: str, value: Any) -> bool:
    return (kind, key) not in rules.SENDS_ZEROS and (_is_zero(value) or value in ([], {}))


def _other_dashboard(old: Any, new: Any) -> bool:
    if new is UNKNOWN or old is None or new is None:
        return True
    return bool(_without_computed(json.loads(old), json.loads(new)) != json.loads(new))


def _without_computed(old: Any, new: Any) -> Any:
    """removeComputedKeys of resource_monitoring_dashboard.go: what only the old one has does not count."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _without_computed(value, new[key]) for key, value in old.items() if new.get(key) is not None}
    if isinstance(old, list) and isinstance(new, list):
        rest = old[len(new) :]
        return [_without_computed(*pair) for pair in zip(old, new, strict=False)] + rest
    return old


def _grows(old: str, new: Any) -> bool:
    return new is not UNKNOWN and ipaddress.ip_network(old).subnet_of(ipaddress.ip_network(new))  # type: ignore[arg-type]
