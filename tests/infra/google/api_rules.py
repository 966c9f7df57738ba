"""What Google's API refuses, and when: data, after its sources; api.py asks each rule about each call.

"finding A1" is a finding of this project's reading of August 2026, which names its own evidence; "recorded" is
tests/infra/recorded/steps.jsonl.gz, where a stand-in refused what the findings say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.infra.deployment import values
from tests.infra.google.calls import Call, paths
from tests.infra.google.provider_kinds import KINDS

if TYPE_CHECKING:
    from tests.infra.google.api import GoogleProject

# Types of monitored resources that series can have, of those that a stack of this kind could name; types of Cloud
# Logging, such as gce_instance_group, are others (Cloud Monitoring's list of monitored resource types; finding A2).
MONITORED_RESOURCES = (
    "gce_instance", "global", "https_lb_rule", "instance_group", "internal_http_lb_rule", "l7_lb_rule", "uptime_url",
)  # fmt: skip
RANGES_OF_A_RULE = 10
CHANNELS_OF_A_BUDGET = 5
CERTIFICATES_OF_A_PROXY = 15
CERTIFICATES_OF_AN_ENTRY = 15

# What may go although something names it: what deletes an account or an API asks nobody.
_NEVER_IN_USE = ("/serviceAccounts/", "/services/")
# Kinds that name others without holding them.
_HOLDS_NOTHING = ("billing.Budget", "monitoring.Dashboard")
# Paths of what a stack makes; everything else that it refers to is others'.
_OF_A_STACK = re.compile("|".join(re.sub(r"\{\w+\}", "[^/]+", kind.item) for kind in KINDS.values()))


@dataclass(frozen=True)
class Rule:
    """A refusal: `said` yields a text for each reason to refuse a call in a state of the project."""

    name: str
    status: int
    source: str
    actions: tuple[str, ...]
    said: Callable[[GoogleProject, Call], Iterator[str]]


def _api_is_off(project: GoogleProject, call: Call) -> Iterator[str]:
    if call.method and call.api not in project.answering:
        yield f"{call.api}.googleapis.com has not been used in the project before, or it is disabled"


def _already_exists(project: GoogleProject, call: Call) -> Iterator[str]:
    if call.target in project.things:
        yield f"{call.target} already exists"


def _is_missing(project: GoogleProject, call: Call) -> Iterator[str]:
    if call.target not in project.things:
        yield f"{call.target} was not found"


def _refers_to_nothing(project: GoogleProject, call: Call) -> Iterator[str]:
    for path in sorted(paths(dict(call.fields)) - project.things.keys() - {call.target}):
        if _OF_A_STACK.fullmatch(path):
            yield f"{path} was not found"


def _is_in_use(project: GoogleProject, call: Call) -> Iterator[str]:
    if any(part in call.target for part in _NEVER_IN_USE):
        return
    for path, thing in project.things.items():
        if path != call.target and thing.kind not in _HOLDS_NOTHING and call.target in project.referred(path):
            yield f"{call.target} is already being used by {path}"
        if path.startswith(f"{call.target}/"):
            yield f"{call.target} is not empty: {path}"


def _is_autoscaled(project: GoogleProject, call: Call) -> Iterator[str]:
    if project.autoscaler_of(call.target):
        yield "Resizing of autoscaled regional managed instance groups is not allowed"


def _is_autoscaled_already(project: GoogleProject, call: Call) -> Iterator[str]:
    if call.kind == "compute.RegionAutoscaler":
        for group in paths(call.fields.get("target", "")):
            other = project.autoscaler_of(group)
            if other and other != call.target:
                yield f"{group} has an autoscaler already: {other}"


def _rule_is_there(project: GoogleProject, call: Call) -> Iterator[str]:
    priority, known = call.fields["rule"]["priority"], project.priorities(call.target)
    if (call.action == "add-rule") == (priority in known):
        yield f"rule {priority} {'exists already' if priority in known else 'does not exist'}"


def _rule_is_too_long(project: GoogleProject, call: Call) -> Iterator[str]:
    rules = [call.fields["rule"]] if "rule" in call.fields else call.fields.get("rules") or []
    for rule in rules if call.kind == "compute.SecurityPolicy" else []:
        found = values(rule, "match.config.srcIpRanges[]")
        if len(found) > RANGES_OF_A_RULE:
            yield f"rule {rule['priority']} has {len(found)} ranges, {RANGES_OF_A_RULE} are allowed"


def _metric_is_too_young(project: GoogleProject, call: Call) -> Iterator[str]:
    for condition in values(dict(call.fields), "conditions[].conditionThreshold"):
        for metric in re.findall(r"logging\.googleapis\.com/user/([\w/-]+)", str(condition)):
            thing = next((t for path, t in project.things.items() if path.endswith(f"/metrics/{metric}")), None)
            if thing is None or thing.born == project.run:
                yield f"Cannot find metric {metric}. If a metric was created recently, it could take up to 10 minutes"


def _resource_type_is_none(project: GoogleProject, call: Call) -> Iterator[str]:
    for name in ("conditionThreshold", "conditionAbsent"):
        for text in values(dict(call.fields), f"conditions[].{name}.filter"):
            for found in re.findall(r'resource\.type\s*=\s*"(\w+)"', text):
                if found not in MONITORED_RESOURCES:
                    yield f"The filter contains unknown resource type: {found}"


def _has_too_many(kind: str, path: str, limit: int) -> Callable[[GoogleProject, Call], Iterator[str]]:
    def said(project: GoogleProject, call: Call) -> Iterator[str]:
        found = len(values(dict(call.fields), path)) if call.kind == kind else 0
        if found > limit:
            yield f"{found} {path.removesuffix('[]')}, {limit} are allowed"

    return said


def _proxy_has_nothing(project: GoogleProject, call: Call) -> Iterator[str]:
    if call.kind == "compute.TargetHttpsProxy":
        before = project.things[call.target].fields if call.target in project.things else {}
        fields = {**before, **call.fields}
        if not fields.get("certificateMap") and not fields.get("sslCertificates"):
            yield "Certificate Map or at least 1 SSL certificate must be specified"


def _currency_is_another(project: GoogleProject, call: Call) -> Iterator[str]:
    if call.kind == "billing.Budget":
        for currency in values(dict(call.fields), "amount.specifiedAmount.currencyCode"):
            if currency != project.currency:
                yield f"the currency {currency} is not the billing account's, {project.currency}"


def _member_is_nobody(project: GoogleProject, call: Call) -> Iterator[str]:
    kind, _, email = str(call.fields["member"]).partition(":")
    account = f"projects/{email.partition('@')[2].partition('.')[0]}/serviceAccounts/{email}"
    agent = re.fullmatch(r"service-\d+@gcp-sa-(\w+)\.iam\.gserviceaccount\.com", email)
    known = agent[1] in project.agents if agent else kind != "serviceAccount" or account in project.things
    if not known:
        yield f"Service account {email} does not exist"


def _range_overlaps(project: GoogleProject, call: Call) -> Iterator[str]:
    if call.kind == "compute.Subnetwork" and "ipCidrRange" in call.fields:
        mine = ipaddress.ip_network(call.fields["ipCidrRange"])
        fields = {**(project.things[call.target].fields if call.target in project.things else {}), **call.fields}
        for path, thing in project.things.items():
            beside = thing.kind == call.kind and path != call.target and thing.fields["network"] == fields["network"]
            if beside and mine.overlaps(ipaddress.ip_network(thing.fields["ipCidrRange"])):
                yield f"the range {mine} conflicts with {path}"


def _address_is_taken(project: GoogleProject, call: Call) -> Iterator[str]:
    if call.kind == "compute.GlobalForwardingRule" and call.action == "create":
        for path, thing in project.things.items():
            same = [thing.fields.get(key) == call.fields.get(key) for key in ("ipAddress", "portRange", "ipProtocol")]
            if thing.kind == call.kind and all(same):
                yield f"the address is in use at port {call.fields['portRange']} by {path}"


def _never_gets_ready(project: GoogleProject, call: Call) -> Iterator[str]:
    yield from project.hindered(call.target, call.fields["minutes"])


_CHANGES: tuple[str, ...] = ("create", "update")

RULES: tuple[Rule, ...] = (
    Rule(
        "api-enabled", 403, "findings F5, B24; recorded: empty",
        (*_CHANGES, "delete", "resize", "grant", "add-rule", "patch-rule", "remove-rule"), _api_is_off,
    ),
    Rule("exists", 409, "Google's APIs: a name is taken once; finding F3", ("create",), _already_exists),
    Rule("missing", 404, "recorded: drift, destroy", ("update", "delete", "resize"), _is_missing),
    Rule("reference", 404, "Compute: 'The resource ... was not found'", _CHANGES, _refers_to_nothing),
    Rule("in-use", 400, "Compute: 'is already being used by'; finding F3; recorded: killed", ("delete",), _is_in_use),
    Rule("group-resize", 412, "finding B1; terraform-google-vm#64; recorded: moves2", ("resize",), _is_autoscaled),
    Rule("autoscaler", 400, "Compute: a group has one autoscaler at most", _CHANGES, _is_autoscaled_already),
    Rule(
        "armor-rule", 400, "findings F4, B12; recorded: drift",
        ("add-rule", "patch-rule", "remove-rule"), _rule_is_there,
    ),
    Rule(
        "armor-ranges", 400, "Cloud Armor's limits: 10 ranges a rule",
        (*_CHANGES, "add-rule", "patch-rule"), _rule_is_too_long,
    ),
    Rule("alert-metric-age", 404, "finding A1; recorded: first", _CHANGES, _metric_is_too_young),
    Rule("alert-resource", 400, "finding A2; recorded: first", _CHANGES, _resource_type_is_none),
    Rule(
        "budget-channels", 400, "finding B11; Budget API: 'A maximum of 5 channels are allowed'", _CHANGES,
        _has_too_many("billing.Budget", "allUpdatesRule.monitoringNotificationChannels[]", CHANNELS_OF_A_BUDGET),
    ),
    Rule(
        "proxy-certificates", 400, "Load balancing's limits: 15 certificates a target proxy", _CHANGES,
        _has_too_many("compute.TargetHttpsProxy", "sslCertificates[]", CERTIFICATES_OF_A_PROXY),
    ),
    Rule(
        "proxy-bare", 412,
        "Compute: 'Certificate Map or at least 1 SSL certificate must be specified'; terraform-provider-google#12513, "
        "#17641: the provider takes the certificates away before it sets the map (target_https_proxy.go, Update)",
        _CHANGES, _proxy_has_nothing,
    ),
    Rule(
        "entry-certificates", 400, "docs of certificate_manager_certificate_map_entry: 'up to fifteen'", _CHANGES,
        _has_too_many("certificatemanager.CertificateMapEntry", "certificates[]", CERTIFICATES_OF_AN_ENTRY),
    ),
    Rule("currency", 400, "finding B10; terraform-provider-google#11615", _CHANGES, _currency_is_another),
    Rule("member", 400, "finding A5; recorded: pipeline", ("grant",), _member_is_nobody),
    Rule("subnet-range", 400, "Compute: subnetworks of a network do not overlap", _CHANGES, _range_overlaps),
    Rule("address-port", 400, "Compute: 'Specified IP address is in-use'", ("create",), _address_is_taken),
    Rule("wait", 0, "findings B2, F1: 'timeout while waiting for state'", ("wait",), _never_gets_ready),
)  # fmt: skip
