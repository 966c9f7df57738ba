"""Google as far as the pipeline sees it, with a state: what gcloud is asked for, and what Pulumi's provider makes.

From the sources, and never seen there: gcloud's words and forms are those of its own code (528.0.0), generations those
of Cloud Storage's documentation, the life of a group's machines that of "Updating MIGs". A group moves on by one stage
each time that somebody looks at it: new machines beside the old ones, then the old ones gone.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT, REGION = "my-project", "europe-west1"
Answer = tuple[int, str, str]
_COMPUTE = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}"
_UNAVAILABLE = "ZONE_RESOURCE_POOL_EXHAUSTED"


@dataclass
class Template:
    """An instance template, as far as its machines differ by it."""

    image: str
    spot: bool = False


@dataclass
class Machine:
    """A machine of a group."""

    name: str
    template: str
    action: str = "NONE"
    health: str = "HEALTHY"


@dataclass
class Group:
    """A managed instance group, with its machines and the template that they should have."""

    template: str
    size: int = 2
    machines: list[Machine] = field(default_factory=list)


class Google:
    """One project."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, str]] = {}
        self.templates: dict[str, Template] = {}
        self.groups: dict[str, Group] = {}
        # Everything else by its kind and name, with its inputs.
        self.things: dict[str, dict[str, dict[str, Any]]] = {}
        self.rules: dict[str, str] = {}
        self.firewalls: dict[str, str] = {}
        self.registry: set[str] = set()
        self.certificates: list[dict[str, Any]] = []
        # What goes wrong: images whose machines do not come up, and no Spot machines to be had.
        self.bad_images: set[str] = set()
        self.shortage = False
        self._numbers = itertools.count(1)

    # ---- What the provider does

    def create(self, kind: str, name: str, inputs: dict[str, Any]) -> str:
        """Make something; returns its id."""
        if kind == "InstanceTemplate":
            self.templates[name] = Template(inputs["image"], inputs["spot"])
        elif kind == "RegionInstanceGroupManager":
            self.groups[name] = Group(inputs["template"], inputs["size"])
        elif kind == "AlertPolicy":
            name = f"projects/{PROJECT}/alertPolicies/{next(self._numbers)}"
        self.things.setdefault(kind, {})[name] = dict(inputs)
        return name

    def update(self, kind: str, name: str, inputs: dict[str, Any]) -> None:
        """Change something."""
        self.things[kind][name] = dict(inputs)
        if kind == "RegionInstanceGroupManager":
            self.groups[name].template = inputs["template"]

    def delete(self, kind: str, name: str) -> str:
        """Remove something; returns why not, in Google's words."""
        for group, found in self.groups.items():
            if kind == "InstanceTemplate" and found.template == name:
                where = f"projects/{PROJECT}/regions/{REGION}/instanceGroupManagers/{group}"
                what = f"The instance_template resource 'projects/{PROJECT}/global/instanceTemplates/{name}'"
                return f"googleapi: Error 400: {what} is already being used by '{where}'"
        self.things.get(kind, {}).pop(name, None)
        self.templates.pop(name, None)
        self.groups.pop(name, None)
        return ""

    def move_on(self, name: str) -> None:
        """Let a group's update go on by one stage."""
        group = self.groups[name]
        template = self.templates[group.template]
        new = [machine for machine in group.machines if machine.template == group.template]
        if len(new) < group.size:
            group.machines += [
                Machine(f"m{next(self._numbers)}", group.template, "CREATING", "UNKNOWN")
                for _ in range(group.size - len(new))
            ]
        elif template.spot and self.shortage:
            pass
        elif any(machine.health != "HEALTHY" for machine in new):
            health = "UNHEALTHY" if template.image in self.bad_images else "HEALTHY"
            for machine in new:
                machine.action, machine.health = "NONE", health
        if new and all(machine.health == "HEALTHY" for machine in new):
            group.machines = new

    def settle(self, name: str) -> bool:
        """Let a group's update come to its end; returns whether all is well then."""
        for _ in range(4):
            self.move_on(name)
        group = self.groups[name]
        return all(item.template == group.template and item.health == "HEALTHY" for item in group.machines)

    @property
    def serving(self) -> set[str]:
        """Return the images that healthy machines run."""
        return {
            self.templates[item.template].image
            for group in self.groups.values()
            for item in group.machines
            if item.health == "HEALTHY" and item.template in self.templates
        }

    # ---- What gcloud is asked

    def gcloud(self, words: list[str]) -> Answer:
        """Answer a command of gcloud's."""
        options = {word.partition("=")[0]: word.partition("=")[2] for word in words if word.startswith("--")}
        plain = [word for word in words if not word.startswith("--")]
        command = ".".join(plain[: next((n for n, word in enumerate(plain) if word in _LAST_WORDS), 9) + 1])
        arguments = plain[command.count(".") + 1 :]
        handle = _COMMANDS.get(command)
        return handle(self, arguments, options) if handle else (0, "[]" if "--format" in options else "", "")

    def _cp(self, arguments: list[str], options: dict[str, str]) -> Answer:
        source, url = arguments
        if not self._may(url, options):
            return _error("storage.cp", "HTTPError 412: At least one of the pre-conditions you specified did not hold.")
        self.objects[url] = (next(self._numbers), Path(source).read_text("utf-8"))
        return 0, "", ""

    def _may(self, url: str, options: dict[str, str]) -> bool:
        expected = options.get("--if-generation-match")
        return expected is None or int(expected) == self.objects.get(url, (0, ""))[0]

    def _describe_object(self, arguments: list[str], _: dict[str, str]) -> Answer:
        if (found := self.objects.get(arguments[0])) is None:
            return _error("storage.objects.describe", f"{arguments[0]} not found: 404.")
        return 0, f"{found[0]}\n", ""

    def _cat(self, arguments: list[str], _: dict[str, str]) -> Answer:
        url, _hash, generation = arguments[0].partition("#")
        found = self.objects.get(url)
        if found is None or str(found[0]) != generation:
            return _error("storage.cat", f"The following URLs matched no objects or files:\n-{arguments[0]}")
        return 0, found[1], ""

    def _rm(self, arguments: list[str], options: dict[str, str]) -> Answer:
        if arguments[0] not in self.objects:
            return _error("storage.rm", f"The following URLs matched no objects or files:\n-{arguments[0]}")
        if not self._may(arguments[0], options):
            return _error("storage.rm", "HTTPError 412: At least one of the pre-conditions you specified did not hold.")
        del self.objects[arguments[0]]
        return 0, "", ""

    def _create_rule(self, arguments: list[str], options: dict[str, str]) -> Answer:
        where = self.rules if "--src-ip-ranges" in options else self.firewalls
        where[arguments[0]] = options.get("--src-ip-ranges") or options["--source-ranges"]
        return 0, "", ""

    def _delete_rule(self, arguments: list[str], options: dict[str, str]) -> Answer:
        where = self.rules if "--security-policy" in options else self.firewalls
        return (0, "", "") if where.pop(arguments[0], None) else _error("rules.delete", "was not found")

    def _describe_group(self, arguments: list[str], _: dict[str, str]) -> Answer:
        if arguments[0] not in self.groups:
            return _error("describe", f"The resource '{arguments[0]}' was not found")
        link = f"{_COMPUTE}/global/instanceTemplates/{self.groups[arguments[0]].template}"
        return 0, json.dumps({"name": arguments[0], "versions": [{"instanceTemplate": link}]}), ""

    def _list_instances(self, arguments: list[str], _: dict[str, str]) -> Answer:
        self.move_on(arguments[0])
        found = []
        for machine in self.groups[arguments[0]].machines:
            creating = machine.action == "CREATING"
            item: dict[str, Any] = {
                "instance": f"{_COMPUTE}/zones/{REGION}-b/instances/{machine.name}",
                "currentAction": machine.action,
                "version": {"instanceTemplate": f"{_COMPUTE}/global/instanceTemplates/{machine.template}"},
            }
            if creating and self.shortage:
                item["lastAttempt"] = {"errors": {"errors": [{"code": _UNAVAILABLE}]}}
            if not creating:
                item |= {"instanceStatus": "RUNNING", "instanceHealth": [{"detailedHealthState": machine.health}]}
            found.append(item)
        return 0, json.dumps(found), ""

    def _start_update(self, arguments: list[str], options: dict[str, str]) -> Answer:
        template = options["--version"].partition("=")[2]
        if template not in self.templates:
            return _error("start-update", f"The resource 'instanceTemplates/{template}' was not found")
        group = self.groups[arguments[0]]
        group.template = template
        group.machines = [machine for machine in group.machines if machine.template == template]
        return 0, "", ""

    def _delete_thing(self, arguments: list[str], _: dict[str, str]) -> Answer:
        kind = next((kind for kind, found in self.things.items() if arguments[0] in found), "")
        if not kind:
            return _error("delete", f"The resource '{arguments[0]}' was not found")
        refusal = self.delete(kind, arguments[0])
        return _error("delete", refusal) if refusal else (0, "", "")

    def _list_policies(self, _: list[str], __: dict[str, str]) -> Answer:
        found = self.things.get("AlertPolicy", {})
        return 0, json.dumps([{"name": name, "displayName": item["displayName"]} for name, item in found.items()]), ""

    def _list_certificates(self, _: list[str], __: dict[str, str]) -> Answer:
        return 0, json.dumps(self.certificates), ""

    def _describe_image(self, arguments: list[str], options: dict[str, str]) -> Answer:
        place = (f"{options['--location']}-docker.pkg.dev", options["--project"], options["--repository"])
        known = f"{'/'.join(place)}/{options['--package']}@{arguments[0]}" in self.registry
        missing = "NOT_FOUND: Requested entity was not found."
        return (0, "{}", "") if known else _error("artifacts.versions.describe", missing)

    def _list_images(self, _: list[str], __: dict[str, str]) -> Answer:
        return 0, json.dumps([{"version": image} for image in sorted(self.registry)]), ""


_LAST_WORDS = ("cp", "cat", "rm", "create", "delete", "describe", "list", "list-instances", "start-update", "access")
_COMMANDS = {
    "storage.cp": Google._cp,
    "storage.cat": Google._cat,
    "storage.rm": Google._rm,
    "storage.objects.describe": Google._describe_object,
    "compute.security-policies.rules.create": Google._create_rule,
    "compute.security-policies.rules.delete": Google._delete_rule,
    "compute.firewall-rules.create": Google._create_rule,
    "compute.firewall-rules.delete": Google._delete_rule,
    "compute.instance-groups.managed.describe": Google._describe_group,
    "compute.instance-groups.managed.list-instances": Google._list_instances,
    "compute.instance-groups.managed.rolling-action.start-update": Google._start_update,
    "compute.instance-groups.managed.delete": Google._delete_thing,
    "compute.instance-templates.delete": Google._delete_thing,
    "compute.ssl-certificates.list": Google._list_certificates,
    "alpha.monitoring.policies.list": Google._list_policies,
    "artifacts.versions.describe": Google._describe_image,
    "artifacts.docker.images.list": Google._list_images,
}


def _error(command: str, text: str) -> Answer:
    return 1, "", f"ERROR: (gcloud.{command}) {text}\n"
