"""Whoever is on duty learns of it, and sees what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.docs.documents import Page
from tests.infra.deployment import UNKNOWN, Deployment, Resource, values, walk
from tests.infra.invariants.registry import prevents

_HANDBOOK = Page("docs/operations.md")

# Labels of Cloud Monitoring, and where the names come from that they can have: a kind, its output, what follows.
_LABELS = {
    "url_map_name": ("compute.URLMap", "name", ""),
    "instance_group_name": ("compute.RegionInstanceGroupManager", "name", ""),
    # A machine has four characters after the group's base name, and nothing of the group's own name.
    "instance_name": ("compute.RegionInstanceGroupManager", "baseInstanceName", "-x1y2"),
    "check_id": ("monitoring.UptimeCheckConfig", "uptimeCheckId", ""),
}
_CONDITION = re.compile(
    r"""(?:metric|resource)\.labels?\.["']?(?P<label>\w+)["']?\s*(?P<operator>=|:|=~)\s*"""
    r"""(?P<function>starts_with\()?["'](?P<value>[^"']*)["']"""
)
# A log-based metric, as filters and as PromQL write its name.
_USER_METRIC = re.compile(r"logging(?:\.googleapis\.com/user/|_googleapis_com:user_)(?P<name>[\w.-]+)")
_RESOURCE_TYPE = re.compile(r"""resource\.type\s*=\s*["'](?P<type>\w+)["']""")
# Monitoring's own resource types, of those that this program could mean
# (https://cloud.google.com/monitoring/api/resources). gce_instance_group is one of Logging's only.
_MONITORED = {"gce_instance", "global", "https_lb_rule", "instance_group", "uptime_url"}


def _filters(deployment: Deployment) -> Iterator[tuple[Resource, str]]:
    """Yield every filter of metrics or logs, with the resource that has it."""
    for resource in deployment.of("monitoring.AlertPolicy", "monitoring.Dashboard", "logging.Metric"):
        inputs: Any = resource.inputs
        if resource.kind == "monitoring.Dashboard":
            inputs = json.loads(resource.inputs["dashboardJson"])
        for path, value in walk(inputs):
            if re.search(r"(^|\.)(filter|denominatorFilter|query)$", path):
                yield resource, value


@prevents
def alert_or_chart_watches_what_does_not_exist(deployment: Deployment) -> Iterator[str]:
    """Each name in a filter is, or begins, the name of something that the stack makes."""
    for resource, text in _filters(deployment):
        for match in _CONDITION.finditer(text):
            label, value = match["label"], match["value"]
            if label not in _LABELS or (resource.kind == "logging.Metric" and not deployment.setting("image")):
                continue  # the metric is a foundation, older than any group
            kind, key, ending = _LABELS[label]
            names = [f"{made.outputs[key]}{ending}" for made in deployment.of(kind)]
            exact = match["operator"] == "=" and not match["function"]
            if not any(name == value if exact else name.startswith(value) for name in names):
                yield f"{resource} watches {label} {value!r}, there are {names}"
        for match in _USER_METRIC.finditer(text):
            names = [str(metric.outputs["name"]) for metric in deployment.of("logging.Metric")]
            if match["name"] not in names:
                yield f"{resource} watches the metric {match['name']}, there are {names}"


@prevents
def part_of_the_fleet_is_not_watched(deployment: Deployment) -> Iterator[str]:
    """The dashboard shows the machines and the size of every group."""
    for dashboard in deployment.of("monitoring.Dashboard"):
        text = "\n".join(text for resource, text in _filters(deployment) if resource is dashboard)
        beginnings = [match["value"] for match in _CONDITION.finditer(text) if match["label"] == "instance_name"]
        for group in deployment.of("compute.RegionInstanceGroupManager"):
            machine = f"{group.outputs['baseInstanceName']}-x1y2"
            if not any(machine.startswith(beginning) for beginning in beginnings):
                yield f"{dashboard} does not show {machine} of {group}"


@prevents
def nobody_hears_the_alarm(deployment: Deployment) -> Iterator[str]:
    """Every alert reaches every address that the configuration names, and says what to do."""
    channels = {channel.outputs["name"]: channel for channel in deployment.of("monitoring.NotificationChannel")}
    wanted = sorted(deployment.setting("alertEmails") or [])
    addresses = sorted(address for c in channels.values() for address in values(c.inputs, "labels.email_address"))
    if deployment.setting("image") and addresses != wanted:
        yield f"there are channels to {addresses}, wanted are {wanted}"
    for policy in deployment.of("monitoring.AlertPolicy"):
        if set(policy.inputs.get("notificationChannels", [])) != channels.keys():
            yield f"{policy} tells {policy.inputs.get('notificationChannels')}, there are {sorted(channels)}"
        text = "".join(values(policy.inputs, "documentation.content"))
        named = re.findall(r"docs/operations\.md#([\w-]+)", text)
        if not named or not _HANDBOOK.anchors.issuperset(named):
            yield f"{policy} does not say where its handbook is, or names no heading of it: {text}"


@prevents
def breakdown_raises_no_alarm(deployment: Deployment) -> Iterator[str]:
    """A fleet is watched for slow answers, errors, dead machines, size, from outside; one machine for its absence."""
    if not deployment.setting("image"):
        return
    text = "\n".join(text for resource, text in _filters(deployment) if resource.kind == "monitoring.AlertPolicy")
    if deployment.setting("topology") == "single":
        needed = ["compute.googleapis.com/instance/uptime"]
    else:
        needed = [
            "loadbalancing.googleapis.com/https/backend_latencies",
            "loadbalancing.googleapis.com/https/request_count",
            "logging_googleapis_com:user_",
            *(["compute.googleapis.com/instance_group/size"] if _can_grow(deployment) else []),
            "monitoring.googleapis.com/uptime_check/check_passed",
        ]
    for metric in needed:
        if metric not in text:
            yield f"no alert watches {metric}"


def _can_grow(deployment: Deployment) -> bool:
    policies = values([scaler.inputs for scaler in deployment.of("compute.RegionAutoscaler")], "[].autoscalingPolicy")
    return any(policy["maxReplicas"] > policy["minReplicas"] for policy in policies)


@prevents
def alert_is_refused(deployment: Deployment) -> Iterator[str]:
    """Google takes an alert only on a metric that it knows, of a resource that Monitoring has.

    A log-based metric is unknown for ten minutes (404, terraform-provider-google#11102): only a PromQL condition may
    come earlier, and only without validation. Its series are of the resource "global" (400 for another).
    """
    for policy in deployment.of("monitoring.AlertPolicy"):
        for condition in values(policy.inputs, "conditions[]"):
            text = json.dumps(condition)
            promql = condition.get("conditionPrometheusQueryLanguage")
            if "logging" in text and _USER_METRIC.search(text):
                if not promql or promql.get("disableMetricValidation") is not True:
                    yield f"{policy} needs a metric of which Google does not know yet"
                elif 'monitored_resource="global"' not in promql["query"]:
                    yield f"{policy} asks for other series than those of a log-based metric: {promql['query']}"
            if not condition.get("conditionMatchedLog"):
                for match in _RESOURCE_TYPE.finditer(text.replace('\\"', '"')):
                    if match["type"] not in _MONITORED:
                        yield f"{policy} is about {match['type']}, which is no resource of Monitoring's"
    for metric in deployment.of("logging.Metric"):
        if not re.fullmatch(r"\w+", metric.outputs["name"]):
            yield f"{metric} has a name that PromQL writes otherwise: {metric.outputs['name']}"
        labels = {label["key"] for label in values(metric.inputs, "metricDescriptor.labels[]")}
        if labels != set(metric.inputs.get("labelExtractors", {})) or "group" not in labels:
            yield f"{metric} loses its group's name: its labels are {sorted(labels)}"


@prevents
def machine_is_counted_twice(deployment: Deployment) -> Iterator[str]:
    """Of the probes of a fleet only the readiness check writes the log from which unhealthy machines are counted."""
    backends = deployment.of("compute.BackendService")
    readiness = {deployment.referenced(backend, "healthChecks").urn for backend in backends}
    for check in deployment.of("compute.HealthCheck"):
        logs = values(check.inputs, "logConfig.enable") == [True]
        if readiness and logs != (check.urn in readiness):
            yield f"{check} {'writes' if logs else 'does not write'} a log"


@prevents
def dashboard_is_changed_for_ever(deployment: Deployment) -> Iterator[str]:
    """Google leaves out zeros and empty lists, and the provider compares to the letter."""
    for dashboard in deployment.of("monitoring.Dashboard"):
        for path, value in walk(json.loads(dashboard.inputs["dashboardJson"])):
            if value in (0, "", [], {}, False, None):
                yield f"{dashboard}: {path} is {value!r}, which Google leaves out"


@prevents
def budget_is_refused(deployment: Deployment) -> Iterator[str]:
    """Google takes five channels at most, and no currency but the billing account's."""
    for budget in deployment.of("billing.Budget"):
        if currency := values(budget.inputs, "amount.specifiedAmount.currencyCode"):
            yield f"{budget} is in {currency}, the billing account may be in another"
        channels = values(budget.inputs, "allUpdatesRule.monitoringNotificationChannels[]")
        if len(channels) > 5:
            yield f"{budget} tells {len(channels)} channels"


@prevents
def allowlist_could_open_unnoticed(deployment: Deployment) -> Iterator[str]:
    """Google's probers from outside are strangers: a stack that answers them anything but a refusal is open."""
    for check in deployment.of("monitoring.UptimeCheckConfig"):
        accepted = values(check.inputs, "httpCheck.acceptedResponseStatusCodes[].statusValue")
        everybody = any(entry.endswith("/0") for entry in deployment.setting("allowlist"))
        if accepted != [401 if everybody else 403]:
            yield f"{check} is content with {accepted}"


@prevents
def what_people_read_is_a_program_s_inside(deployment: Deployment) -> Iterator[str]:
    """No output, name or text holds the representation of a Python object, or a value that was never filled in."""
    marks = ("Calling __str__", "Output<", "<pulumi", "object at 0x", "None", "computed-", "[secret]")
    texts = [("the stack's outputs", deployment.outputs)]
    texts += [(str(resource), resource.inputs) for resource in deployment.custom]
    for where, tree in texts:
        for path, value in walk(tree):
            for mark in marks:
                if isinstance(value, str) and mark in value:
                    yield f"{where}: {path} holds {mark!r}: {value[:80]}"
            if value is UNKNOWN and not deployment.preview:
                yield f"{where}: {path} is unknown after the deployment"
