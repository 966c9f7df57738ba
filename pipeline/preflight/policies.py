"""Policies of the organisation that forbid what the stack makes, so that it would fail in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra import api_names
from infra.settings import Settings
from pipeline.preflight.findings import Finding, NotLookedAt, Questions, good, skipped, stop

# As Cloud Resource Manager describes one: {"listPolicy": {...}} or {"booleanPolicy": {...}}.
Policy = Mapping[str, Any]

# What every Google product needs and this constraint therefore does not touch
# (https://cloud.google.com/resource-manager/docs/organization-policy/restricting-resources-supported-services).
_NEVER_RESTRICTED = ("cloudresourcemanager", "iam", "logging", "monitoring", "serviceusage")
# What holds data and takes no key of a customer's in this stack.
_WITHOUT_KEYS = ("artifactregistry.googleapis.com", "compute.googleapis.com")


@dataclass(frozen=True)
class Constraint:
    """A constraint; `forbidden` returns what of the stack it forbids, in words, or nothing."""

    name: str
    forbidden: Callable[[Policy, Settings], str]
    concerns: Callable[[Settings], bool] = lambda _: True


def allows(policy: Policy, *values: str) -> bool:
    """Return whether a policy with lists allows something that goes by any of these values."""
    lists = policy.get("listPolicy") or {}
    if lists.get("allValues") in ("ALLOW", "DENY"):
        return bool(lists["allValues"] == "ALLOW")
    denied, allowed = (
        {str(value).removeprefix("is:") for value in lists.get(key) or ()} for key in ("deniedValues", "allowedValues")
    )
    return not denied & set(values) and (not allowed or bool(allowed & set(values)))


def _apis(policy: Policy, settings: Settings) -> str:
    needed = [name for name in api_names.needed(settings) if name not in _NEVER_RESTRICTED]
    forbidden = [name for name in needed if not allows(policy, f"{name}.googleapis.com")]
    return f"the APIs {', '.join(forbidden)}" if forbidden else ""


def _outside_address(policy: Policy, _: Settings) -> str:
    # Machines of a group have names that nobody knows beforehand, so that no list of names holds them.
    return "" if allows(policy, "projects/PROJECT/zones/ZONE/instances/NAME") else "machines with an external address"


def _balancer(policy: Policy, _: Settings) -> str:
    return "" if allows(policy, "GLOBAL_EXTERNAL_MANAGED_HTTP_HTTPS", "in:EXTERNAL") else "global external balancers"


def _image_project(policy: Policy, settings: Settings) -> str:
    project = "/".join(settings.machine_image.split("/")[:2])
    return "" if allows(policy, project) else f"machine images of {project}"


def _keys(policy: Policy, _: Settings) -> str:
    # Denied are services unless they are given a key; only what is listed counts.
    denied = [name for name in _WITHOUT_KEYS if name in ((policy.get("listPolicy") or {}).get("deniedValues") or ())]
    return f"{', '.join(denied)} without a key of your own, which this stack cannot be given" if denied else ""


def _enforced(what: str) -> Callable[[Policy, Settings], str]:
    return lambda policy, _: what if (policy.get("booleanPolicy") or {}).get("enforced") else ""


def _fleet(settings: Settings) -> bool:
    return not settings.single


# https://cloud.google.com/resource-manager/docs/organization-policy/org-policy-constraints, and for balancers
# https://cloud.google.com/load-balancing/docs/org-policy-constraints.
CONSTRAINTS = (
    Constraint("gcp.restrictServiceUsage", _apis),
    Constraint("serviceuser.services", _apis),
    Constraint("compute.vmExternalIpAccess", _outside_address, lambda settings: settings.single),
    Constraint("compute.restrictLoadBalancerCreationForTypes", _balancer, _fleet),
    Constraint("compute.disableGlobalLoadBalancing", _enforced("global balancers"), _fleet),
    Constraint("compute.trustedImageProjects", _image_project),
    Constraint("gcp.restrictNonCmekServices", _keys),
    Constraint("iam.disableServiceAccountCreation", _enforced("new service accounts")),
)


def check(questions: Questions) -> Iterator[Finding]:
    """Look at each constraint that concerns the stack, in force wherever in the organisation it was set."""
    settings = questions.settings
    constraints = [constraint for constraint in CONSTRAINTS if constraint.concerns(settings)]

    def describe(constraint: Constraint) -> Policy | NotLookedAt:
        words = ("resource-manager", "org-policies", "describe", constraint.name)
        try:
            answer: Policy = questions.json(*words, "--effective", f"--project={settings.project}")
        except NotLookedAt as reason:
            return reason
        return answer

    with ThreadPoolExecutor(len(constraints)) as threads:
        answers = dict(zip(constraints, threads.map(describe, constraints), strict=True))
    unknown = {constraint.name: answer for constraint, answer in answers.items() if isinstance(answer, NotLookedAt)}
    forbidden = False
    for constraint, answer in answers.items():
        if not isinstance(answer, NotLookedAt) and (what := constraint.forbidden(answer, settings)):
            forbidden = True
            yield stop(
                f"the organisation's policy {constraint.name} forbids {what} in {settings.project}: ask who "
                "administers it for an exception, or use another project."
            )
    if not forbidden and len(unknown) < len(constraints):
        yield good(f"no policy of the organisation that was looked at forbids anything ({len(answers) - len(unknown)})")
    if unknown:
        which = "all of them" if len(unknown) == len(constraints) else ", ".join(unknown)
        yield skipped(f"organisation policies ({which})", str(next(iter(unknown.values()))))
