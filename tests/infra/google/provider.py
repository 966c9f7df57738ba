"""The provider's part, after provider_rules.py: what differs, what that means, and which calls it takes."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.infra.deployment import UNKNOWN, values, walk
from tests.infra.google import provider_rules as rules
from tests.infra.google.calls import Call, place

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
            found |= _differences(kind, key, old.get(key), new.get(key))
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
    if kind in rules.GRANTS or kind == "projects.Service":
        return any((kind, key) not in rules.VIRTUAL for key in keys)
    force = ("name", "project", *rules.KINDS[kind].replaces)
    if kind == "compute.Subnetwork" and "ipCidrRange" in keys and not _grows(old["ipCidrRange"], new["ipCidrRange"]):
        return True
    return any(
        key == name or key.startswith(f"{name}.") or (name == "*" and (kind, key) not in rules.VIRTUAL)
        for key in keys
        for name in force
    )


def creation(kind: str, inputs: Fields, outputs: Fields) -> list[Call]:
    """Return the calls that make a resource."""
    if kind.startswith("pulumi:"):
        return []
    known = place({**outputs, **inputs})
    if kind == "projects.Service":
        return [_enable(known)]
    if kind in rules.GRANTS:
        return [_grant("grant", kind, known)]
    rule = rules.KINDS[kind]
    path = (rule.collection + rule.query).format_map(known)
    # Monitoring's names are paths, and no fields.
    given = {key: outputs[key] for key in ("name", "address") if "/" not in outputs.get(key, "/")}
    fields = {**given, **sent(kind, inputs)}
    made = target(kind, inputs, outputs)
    calls = [Call("create", "POST", path, kind, made, fields)]
    for key, suffix in rule.after:
        if not key or inputs.get(key):
            calls.append(Call("update", "POST", f"{_own(kind, known)}/{suffix}", kind, made))
    return calls + _wait(kind, inputs, made, 0)


def update(kind: str, old: Fields, new: Fields, outputs: Fields) -> list[Call]:
    """Return the calls that make the one of the other."""
    known, changed = place({**outputs, **new}), diff(kind, old, new)
    tops = {key.split(".")[0] for key in changed if (kind, key.split(".")[0]) not in rules.VIRTUAL}
    calls: list[Call] = []
    if kind.startswith("pulumi:") or kind in rules.GRANTS or kind == "projects.Service":
        return []
    changed_one = target(kind, new, outputs)
    for rule in rules.KINDS[kind].updates:
        named = {key for other in rules.KINDS[kind].updates for key in other.keys}
        keys = tops & set(rule.keys) if rule.keys else tops - named - _RULES.get(kind, set())
        if not keys:
            continue
        whole = rule.path.startswith("/compute") or rule.path.startswith("/dns")
        path = rule.path.format_map(known) if whole else _own(kind, known) + rule.path.format_map(known)
        query = f"?updateMask={'%2C'.join(sorted(keys))}" if rule.mask else ""
        fields = {key: sent(kind, new).get(key) for key in tops} if not rule.keys else {k: new.get(k) for k in keys}
        action = "resize" if "resize" in rule.path else "update"
        calls.append(Call(action, rule.method, path + query, kind, changed_one, fields))
    if kind == "compute.SecurityPolicy" and "rules" in tops:
        calls += list(_rule_calls(old["rules"], new["rules"], _own(kind, known), changed_one))
    # The provider sets its policy last, a group's size after all else.
    calls.sort(key=lambda call: call.action == "resize" or call.path.endswith("/setSecurityPolicy"))
    return calls + _wait(kind, new, changed_one, _minutes(kind, new, tops))


def deletion(kind: str, inputs: Fields, outputs: Fields) -> list[Call]:
    """Return the calls that delete a resource."""
    if kind.startswith("pulumi:") or kind in rules.STAYS:
        return []
    known = place({**outputs, **inputs})
    if kind in rules.GRANTS:
        return [_grant("revoke", kind, known)]
    path = _own(kind, known) + rules.DELETE_QUERY.get(kind, "")
    if kind == "dns.RecordSet":
        return [Call("delete", "POST", rules.KINDS[kind].collection.format_map(known), kind, _item(kind, known))]
    return [Call("delete", "DELETE", path, kind, _item(kind, known))]


def target(kind: str, inputs: Fields, outputs: Fields) -> str:
    """Return the path by which others refer to a resource; nothing for what is a part of something else."""
    return _item(kind, place({**outputs, **inputs})) if kind in rules.KINDS else ""


def _item(kind: str, known: Fields) -> str:
    last = str(known.get("name") or known.get("id")).rpartition("/")[2]
    return rules.KINDS[kind].item.format_map({**known, "id": last})


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


# Inputs whose changes have calls of their own.
_RULES = {"compute.SecurityPolicy": {"rules"}}


def _own(kind: str, known: Fields) -> str:
    # The API and its version, `/compute/beta`, then the item.
    return "/".join([*rules.KINDS[kind].collection.split("/")[:3], _item(kind, known)])


def _enable(known: Fields) -> Call:
    path = f"/serviceusage/v1/projects/{known['project']}/services/{known['service']}:enable"
    return Call("enable", "POST", path, "projects.Service", str(known["service"]))


def _grant(action: str, kind: str, known: Fields) -> Call:
    method, path = rules.GRANTS[kind]
    fields = {key: known[key] for key in ("role", "member")}
    return Call(action, method, path.format_map(known), kind, path.format_map(known), fields)


def _wait(kind: str, inputs: Fields, target: str, minutes: float) -> list[Call]:
    if kind != "compute.RegionInstanceGroupManager" or not inputs.get("waitForInstances"):
        return []
    return [Call("wait", "", "", kind, target, {"minutes": minutes})]


def _minutes(kind: str, new: Fields, tops: set[str]) -> float:
    """Return how long a batch of an update takes; the number of batches depends on the group's size (api.py)."""
    return rules.BATCH_MINUTES if kind == "compute.RegionInstanceGroupManager" and "versions" in tops else 0


def _rule_calls(old: list[Fields], new: list[Fields], own: str, target: str) -> Iterable[Call]:
    """Yield the calls for a policy's rules: those of the new list one by one, then the removals.

    The order within the new list is that of a hash: of two orders, the one that shuts more out on its way.
    """
    before = {rule["priority"]: rule for rule in old}
    after = {rule["priority"]: rule for rule in new}
    kind = "compute.SecurityPolicy"
    changed = [rule for key, rule in after.items() if _differences(kind, "rules", [before.get(key)], [rule])]
    for rule in max(changed, changed[::-1], key=lambda order: _shut_out(before, order)):
        priority = rule["priority"]
        if priority in before:
            limit = "rateLimitOptions"
            mask = "&updateMask=rate_limit_options" if before[priority].get(limit) != rule.get(limit) else ""
            path = f"{own}/patchRule?priority={priority}{mask}"
            yield Call("patch-rule", "POST", path, kind, target, {"rule": rule})
        else:
            yield Call("add-rule", "POST", f"{own}/addRule", kind, target, {"rule": rule})
    for priority, rule in before.items():
        if priority not in after:
            path = f"{own}/removeRule?priority={priority}"
            yield Call("remove-rule", "POST", path, kind, target, {"rule": rule})


def _shut_out(before: Mapping[int, Fields], order: list[Fields]) -> int:
    """Return how many ranges are in no rule for a moment, though they are before and in the end."""
    now, seen = dict(before), []
    for rule in order:
        now[rule["priority"]] = rule
        seen.append({one for known in now.values() for one in values(dict(known), "match.config.srcIpRanges[]")})
    always = {one for known in before.values() for one in values(dict(known), "match.config.srcIpRanges[]")}
    return sum(len((always & seen[-1]) - moment) for moment in seen) if seen else 0


def _differences(kind: str, path: str, old: Any, new: Any) -> set[str]:
    if new is UNKNOWN:
        return {path}
    sets = rules.KINDS[kind].sets if kind in rules.KINDS else ()
    if path in sets:
        return {path} if sorted(map(_canonical, old or [])) != sorted(map(_canonical, new or [])) else set()
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        if old is None or new is None:
            # A block that comes or goes is shown as a whole, unless there is nothing in it.
            return {path} if _canonical(old or {}) != _canonical(new or {}) else set()
        one, other = (value if isinstance(value, Mapping) else {} for value in (old, new))
        keys = {**one, **other}
        return set().union(*(_differences(kind, f"{path}.{key}", one.get(key), other.get(key)) for key in keys))
    if isinstance(old, list) or isinstance(new, list):
        if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
            return {path} if old or new else set()
        return set().union(*(_differences(kind, path, *pair) for pair in zip(old, new, strict=True)))
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
