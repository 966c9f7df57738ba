"""The provider's calls, after provider_kinds.py: what it takes to make, change and delete a resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.infra.deployment import values
from tests.infra.google import provider_rules as rules
from tests.infra.google.calls import Call, place
from tests.infra.google.provider_kinds import GRANTS, KINDS
from tests.infra.google.provider_values import Fields, diff, differences, sent

# Inputs whose changes have calls of their own.
_RULES = {"compute.SecurityPolicy": {"rules"}}


def creation(kind: str, inputs: Fields, outputs: Fields) -> list[Call]:
    """Return the calls that make a resource."""
    if kind.startswith("pulumi:"):
        return []
    known = place({**outputs, **inputs})
    if kind == "projects.Service":
        return [_enable(known)]
    if kind in GRANTS:
        return [_grant("grant", kind, known)]
    if kind not in KINDS:
        raise LookupError(f"provider_kinds.py has no {kind}: add how the provider makes, changes and deletes it")
    rule = KINDS[kind]
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
    if kind.startswith("pulumi:") or kind in GRANTS or kind == "projects.Service":
        return []
    changed_one = target(kind, new, outputs)
    for rule in KINDS[kind].updates:
        named = {key for other in KINDS[kind].updates for key in other.keys}
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
    if kind in GRANTS:
        return [_grant("revoke", kind, known)]
    path = _own(kind, known) + rules.DELETE_QUERY.get(kind, "")
    if kind == "dns.RecordSet":
        return [Call("delete", "POST", KINDS[kind].collection.format_map(known), kind, _item(kind, known))]
    return [Call("delete", "DELETE", path, kind, _item(kind, known))]


def target(kind: str, inputs: Fields, outputs: Fields) -> str:
    """Return the path by which others refer to a resource; nothing for what is a part of something else."""
    return _item(kind, place({**outputs, **inputs})) if kind in KINDS else ""


def _item(kind: str, known: Fields) -> str:
    last = str(known.get("name") or known.get("id")).rpartition("/")[2]
    return KINDS[kind].item.format_map({**known, "id": last})


def _own(kind: str, known: Fields) -> str:
    # The API and its version, `/compute/beta`, then the item.
    return "/".join([*KINDS[kind].collection.split("/")[:3], _item(kind, known)])


def _enable(known: Fields) -> Call:
    path = f"/serviceusage/v1/projects/{known['project']}/services/{known['service']}:enable"
    return Call("enable", "POST", path, "projects.Service", str(known["service"]))


def _grant(action: str, kind: str, known: Fields) -> Call:
    method, path = GRANTS[kind]
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
    changed = [rule for key, rule in after.items() if differences(kind, "rules", [before.get(key)], [rule])]
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
