"""Whoever is on duty learns of it, and sees what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.infra.deployment import UNKNOWN, Deployment, Resource, values, walk
from tests.infra.invariants.registry import prevents

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
_USER_METRIC = re.compile(r"logging\.googleapis\.com/user/(?P<name>[\w.-]+)")


def _filters(deployment: Deployment) -> Iterator[tuple[Resource, str]]:
    """Yield every filter of metrics or logs, with the resource that has it."""
    for resource in deployment.of("monitoring.AlertPolicy", "monitoring.Dashboard", "logging.Metric"):
        inputs: Any = resource.inputs
        if resource.kind == "monitoring.Dashboard":
            inputs = json.loads(resource.inputs["dashboardJson"])
        for path, value in walk(inputs):
            if re.search(r"(^|\.)(filter|denominatorFilter)$", path):
                yield resource, value


@prevents
def alert_or_chart_watches_what_does_not_exist(deployment: Deployment) -> Iterator[str]:
    """Each name in a filter is, or begins, the name of something that the stack makes."""
    for resource, text in _filters(deployment):
        for match in _CONDITION.finditer(text):
            label, value = match["label"], match["value"]
            if label not in _LABELS:
                continue
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
        if not any("docs/operations.md" in text for text in values(policy.inputs, "documentation.content")):
            yield f"{policy} does not say where its handbook is"


@prevents
def breakdown_raises_no_alarm(deployment: Deployment) -> Iterator[str]:
    """A fleet is watched for slow answers, errors, unhealthy machines and from outside; one machine for its absence."""
    if not deployment.setting("image"):
        return
    text = "\n".join(text for resource, text in _filters(deployment) if resource.kind == "monitoring.AlertPolicy")
    if deployment.setting("topology") == "single":
        needed = ["compute.googleapis.com/instance/uptime"]
    else:
        needed = [
            "loadbalancing.googleapis.com/https/backend_latencies",
            "loadbalancing.googleapis.com/https/request_count",
            "logging.googleapis.com/user/",
            "monitoring.googleapis.com/uptime_check/check_passed",
        ]
    for metric in needed:
        if metric not in text:
            yield f"no alert watches {metric}"


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
