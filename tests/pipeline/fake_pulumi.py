"""Pulumi's engine with a stack's state, in place of the command line: what pulumi.automation and people ask of it.

Seen of the real one (3.274 with the gcp provider against a stand-in for Google's API; tests/infra/recorded holds the
plans and calls, and test_fake_pulumi.py compares): a creation is written down as pending before Google is called, and
stays so when the process is killed; the next update warns and makes a second resource beside the first; what is
imported is updated; a replaced template is made first and removed at the end, which Google refuses while a group uses
it; outputs are those of the last update that ended well; a refresh finds what was changed by hand, an update does not;
a lock is a file that outlives its process, and `cancel` removes it.

From Pulumi's sources: a pending creation stays until a refresh is told to forget it (backend/snapshot.go; in the runs
above an update after the import dropped it, which is the easier case), the events (sdk's apitype/events.go), the texts
of protected resources (resource/deploy/step.go).
"""

from __future__ import annotations

import fnmatch
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import yaml
from pulumi.runtime.proto import events_pb2, events_pb2_grpc

from tests.pipeline.fake_google import PROJECT, REGION, Answer, Google

VERSION = "v3.272.0"
TYPES = {
    "Repository": "gcp:artifactregistry/repository:Repository",
    "GlobalAddress": "gcp:compute/globalAddress:GlobalAddress",
    "SecurityPolicy": "gcp:compute/securityPolicy:SecurityPolicy",
    "HealthCheck": "gcp:compute/healthCheck:HealthCheck",
    "InstanceTemplate": "gcp:compute/instanceTemplate:InstanceTemplate",
    "RegionInstanceGroupManager": "gcp:compute/regionInstanceGroupManager:RegionInstanceGroupManager",
    "RegionAutoscaler": "gcp:compute/regionAutoscaler:RegionAutoscaler",
    "BackendService": "gcp:compute/backendService:BackendService",
    "AlertPolicy": "gcp:monitoring/alertPolicy:AlertPolicy",
}
_PREFIX = "own-cloud-classifier:"


@dataclass
class Item:
    """A resource of the state, or one that the program wants."""

    urn: str
    inputs: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    protect: bool = False
    delete: bool = False
    replaces: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.urn.split("::")[2].rsplit("$", 1)[-1].rsplit(":", 1)[-1]

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[-1]

    def exported(self) -> dict[str, Any]:
        chain = self.urn.split("::")[2].split("$")
        found: dict[str, Any] = {"urn": self.urn, "type": chain[-1], "inputs": self.inputs, "outputs": self.inputs}
        if len(chain) > 1:
            found["parent"] = f"urn:pulumi:dev::own-cloud-classifier::{'$'.join(chain[:-1])}::classifier-dev"
        return found | {"id": self.id, "protect": self.protect, "delete": self.delete}


def program(config: Mapping[str, Any], groups: Mapping[str, bool]) -> Iterator[Item]:
    """Yield what the real program registers, as far as a rollout cares: foundations, then what an image brings."""

    def item(component: str, kind: str, name: str, replaces: tuple[str, ...] = (), **inputs: Any) -> Item:
        protect = kind in ("Repository", "GlobalAddress")
        chain = f"classifier:infra:{component}${TYPES[kind]}"
        return Item(f"urn:pulumi:dev::own-cloud-classifier::{chain}::{name}", inputs, "", protect, replaces=replaces)

    def component(name: str) -> Item:
        return Item(f"urn:pulumi:dev::own-cloud-classifier::classifier:infra:{name}::classifier-dev")

    yield component("Registry")
    yield item("Registry", "Repository", "classifier-dev-images", repositoryId="classifier-dev", location=REGION)
    yield component("Addresses")
    yield item("Addresses", "GlobalAddress", "classifier-dev-ipv4", address="127.0.0.1")
    if config.get("ipv6"):
        yield item("Addresses", "GlobalAddress", "classifier-dev-ipv6", address="2001:db8::7")
    if not config.get("image"):
        return
    yield component("Armor")
    yield item("Armor", "SecurityPolicy", "classifier-dev", allowlist=config.get("allowlist"))
    yield component("Fleet")
    yield item("Fleet", "HealthCheck", "classifier-dev-alive", port=8080)
    for group, spot in groups.items():
        name = f"classifier-dev-{group}"
        machine = {"image": config["image"], "refreshed": config.get("refreshed", ""), "spot": spot}
        yield item("Fleet", "InstanceTemplate", name, ("image", "refreshed"), **machine)
        wanted = {"template": f"${name}", "size": 2, "waits": config.get("waitForInstances", True)}
        yield item("Fleet", "RegionInstanceGroupManager", name, ("zones",), zones=config.get("zones"), **wanted)
        yield item("Fleet", "RegionAutoscaler", name)
    yield component("Balancer")
    yield item("Balancer", "BackendService", "classifier-dev")
    yield component("Monitoring")
    yield item("Monitoring", "AlertPolicy", "classifier-dev-slow", displayName="classifier-dev: slow")


class Failed(Exception):
    """A resource on which the engine fails."""


class Killed(BaseException):
    """Ends what a killed program was doing, at that very place: its lock stays."""


class Pulumi:
    """The stack dev, its state, and the command line."""

    def __init__(self, google: Google, kill: Callable[[str], None]) -> None:
        self.google, self.kill = google, kill
        self.groups = {"on-demand": False, "spot": True}
        self.resources: list[Item] = []
        self.creating: list[Item] = []
        self.locks: list[str] = []
        self.history: list[dict[str, Any]] = []
        self.outputs: dict[str, Any] = {}
        self.fixed_outputs: dict[str, Any] = {}
        # Resources on which the provider fails, by kind.
        self.failing: dict[str, str] = {}
        self._numbers = itertools.count(0xA1B2C3)

    def run(self, words: list[str], environment: Mapping[str, str], folder: Path) -> Answer:
        """Answer a command."""
        plain = [word for word in words if not word.startswith("--")]
        refresh = environment.get("PULUMI_OPTION_REFRESH", "true") == "true"
        if plain[0] == "version":
            return 0, f"{VERSION}\n", ""
        if environment.get("PULUMI_BACKEND_URL") != f"gs://{PROJECT}-pulumi-state":
            return 255, "", "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions\n"
        command = ".".join(plain[:2]) if plain[0] in ("stack", "state") else plain[0]
        match command:
            case "stack.output":
                return 0, json.dumps(self.outputs), ""
            case "stack.history":
                return 0, json.dumps(self.history[::-1]), ""
            case "stack.export":
                operations = [{"type": "creating", "resource": item.exported()} for item in self.creating]
                resources = [item.exported() for item in self.resources]
                return 0, json.dumps({"version": 3, "deployment": _exported(resources, operations)}), ""
            case "cancel":
                self.locks.clear()
                return 0, "", ""
            case "state.unprotect":
                if not any(word.startswith("urn:") for word in words):
                    return 255, "", "error: missing required argument in non-interactive mode: resource URN\n"
                for item in self.resources:
                    item.protect = item.protect and item.urn not in words
                return 0, "", ""
        return self._operation(command, words, refresh, folder)

    def _operation(self, command: str, words: list[str], refresh: bool, folder: Path) -> Answer:
        if self.locks and command != "preview" and "--preview-only" not in words:
            return (
                255,
                "",
                (
                    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or"
                    f" delete the lock file with `pulumi cancel`.\n  gs://{PROJECT}-pulumi-state/.pulumi/locks/organization/"
                    f"own-cloud-classifier/dev/{self.locks[0]}.json: created by root@host (pid 285) at 2026-11-20\n"
                ),
            )
        if command == "import":
            return self._import(json.loads(Path(_option(words, "--file")).read_text()))
        events = Events(_option(words, "--event-log"))
        run = Run(self, events, command == "preview" or "--preview-only" in words, refresh)
        config = _config(Path(_option(words, "--config-file") or folder / "Pulumi.dev.yaml"))
        if not run.dry:
            self.locks.append("22d8693a")
        reason = ""
        try:
            if command == "refresh":
                if "--clear-pending-creates" in words:
                    self.creating.clear()
                run.refresh([word for before, word in itertools.pairwise(words) if before == "--target"])
            else:
                run.update([] if command == "destroy" else list(program(config, self.groups)))
            if command == "up":
                self.outputs = self._outputs(config)
        except Failed as failed:
            reason = str(failed)
        events.close()
        if not run.dry:
            self.locks.clear()
            result = "failed" if reason else "succeeded"
            self._remember("update" if command == "up" else command, config, result, _option(words, "--message"))
        if reason:
            return 255, f"Diagnostics:\n    error: {reason}\n", f"error: {command} failed\n"
        return 0, f"{command}: {len(run.changes)} changes\n{run.text}", ""

    def _import(self, file: Mapping[str, Any]) -> Answer:
        (wanted,) = file["resources"]
        parent = file["nameTable"]["parent"].split("::")
        urn = f"{parent[0]}::{parent[1]}::{parent[2]}${wanted['type']}::{wanted['name']}"
        kind, name = Item(urn).kind, wanted["id"] if "alertPolicies" in wanted["id"] else wanted["id"].split("/")[-1]
        if name not in self.google.things.get(kind, {}):
            return 255, "", f"error: resource '{wanted['id']}' does not exist\n"
        self.resources.append(Item(urn, dict(self.google.things[kind][name]), name))
        return 0, "", ""

    def _remember(self, kind: str, config: Mapping[str, Any], result: str, message: str) -> None:
        time = "2026-11-26T21:00:00.000Z"
        values = {f"{_PREFIX}{name}": {"value": str(value), "secret": False} for name, value in config.items()}
        common = {"kind": kind, "startTime": time, "endTime": time, "environment": {}, "resourceChanges": {}}
        self.history.append({**common, "config": values, "result": result, "message": message or "a commit"})

    def _outputs(self, config: Mapping[str, Any]) -> dict[str, Any]:
        found = {"registry": f"{REGION}-docker.pkg.dev/{PROJECT}/classifier-dev", "region": REGION}
        found |= {
            "network": "classifier-dev-net",
            "serviceAccount": f"classifier-dev@{PROJECT}.iam.gserviceaccount.com",
        }
        found |= {name: config.get(name, "") for name in ("image", "refreshed")}
        details = [
            {"name": item.id, "spot": item.name.endswith("-spot"), "minSize": 1, "maxSize": 3, "maxSurge": 3}
            for item in self.resources
            if item.kind == "RegionInstanceGroupManager"
        ]
        more = {
            "addresses": {"ipv4": "127.0.0.1"},
            "groupDetails": details,
            "groups": [item["name"] for item in details],
        }
        if details:
            more["securityPolicy"] = next(item.id for item in self.resources if item.kind == "SecurityPolicy")
        return {**found, **more, "records": [], "next": "a load test", **self.fixed_outputs}

    def suffix(self) -> str:
        return f"{next(self._numbers):07x}"


class Run:
    """One preview, update, refresh or destruction."""

    def __init__(self, pulumi: Pulumi, events: Events, dry: bool, refresh: bool) -> None:
        self.pulumi, self.events, self.dry, self.refreshes = pulumi, events, dry, refresh
        self.changes: list[tuple[str, str]] = []

    @property
    def text(self) -> str:
        return "".join(f"    {operation} {urn.rsplit('::', 1)[-1]}\n" for operation, urn in self.changes)

    def update(self, wanted: list[Item]) -> None:
        """Make the stack what the program wants: create before delete, deletions last."""
        pulumi = self.pulumi
        if self.refreshes:
            self.refresh([])
        known = {item.urn: item for item in pulumi.resources if not item.delete}
        for item in wanted:
            self._one(item, known.get(item.urn))
        kept = {item.urn for item in wanted}
        gone = [item for item in pulumi.resources if item.delete or item.urn not in kept]
        for item in reversed(gone):
            self._delete(item)
        self.events.summary(self.changes)

    def _one(self, item: Item, old: Item | None) -> None:
        inputs = {name: self._resolved(value) for name, value in item.inputs.items()}
        if old is None:
            self._create("create", replace(item, inputs=inputs), None)
        elif changed := [name for name, value in inputs.items() if old.inputs.get(name) != value]:
            if set(changed) & set(item.replaces):
                self._create("create-replacement", replace(item, inputs=inputs), old)
            else:
                self._step("update", old, changed)
                if not self.dry:
                    self.pulumi.google.update(item.kind, old.id, inputs)
                    old.inputs = {**inputs, "name": old.inputs["name"]}
                    self._wait(old)
                    self._fail_if_told(old)
        if old and not self.dry:
            old.protect = item.protect

    def _resolved(self, value: Any) -> Any:
        """A template is named by what the state calls it at this moment."""
        if isinstance(value, str) and value.startswith("$"):
            found = [
                item.id
                for item in self.pulumi.resources
                if item.kind == "InstanceTemplate" and item.name == value[1:] and not item.delete
            ]
            planned = any(
                op.startswith("create") and urn.endswith(f"InstanceTemplate::{value[1:]}") for op, urn in self.changes
            )
            return "computed" if self.dry and planned else (found or [""])[-1]
        return value

    def _create(self, operation: str, item: Item, old: Item | None) -> None:
        self._step(operation, old or item, [])
        if self.dry:
            return
        pulumi = self.pulumi
        if ":infra:" in item.urn.split("::")[2].rsplit("$", 1)[-1]:
            pulumi.resources.append(item)
            return
        item.inputs["name"] = f"{item.name}-{pulumi.suffix()}"
        pulumi.creating.append(item)
        pulumi.kill(f"before {item.kind}")
        self._fail_if_told(item)
        item.id = pulumi.google.create(item.kind, item.inputs["name"], item.inputs)
        pulumi.kill(f"after {item.kind}")
        pulumi.creating.remove(item)
        if old:
            old.delete = True
        pulumi.resources.append(item)
        self._wait(item)

    def _wait(self, item: Item) -> None:
        if (
            item.kind == "RegionInstanceGroupManager"
            and item.inputs["waits"]
            and not self.pulumi.google.settle(item.id)
        ):
            self._fail(
                item, "timeout while waiting for state to become 'created' (last state: 'creating', timeout: 15m0s)"
            )

    def _delete(self, item: Item) -> None:
        if item.protect:
            self._step("delete", item, [])
            self._fail(item, f'resource "{item.urn}" cannot be deleted\nbecause it is protected.')
        self._step("delete-replaced" if item.delete else "delete", item, [])
        if not self.dry:
            if item.id and (refusal := self.pulumi.google.delete(item.kind, item.id)):
                self._fail(item, refusal)
            self.pulumi.resources.remove(item)

    def refresh(self, targets: list[str]) -> None:
        """Take what is at Google into the state, where it differs."""
        google = self.pulumi.google
        for item in list(self.pulumi.resources):
            targeted = not targets or any(fnmatch.fnmatchcase(item.urn, f"{target}*") for target in targets)
            if not item.id or not targeted:
                continue
            operation, keys = "same", []
            if item.id not in google.things.get(item.kind, {}):
                operation = "delete"
            elif item.kind == "SecurityPolicy" and google.rules:
                operation, keys = "update", ["rules"]
            self.events.done(operation, item, keys)
            if operation != "same":
                self.changes.append((operation, item.urn))
                if operation == "delete" and not self.dry:
                    self.pulumi.resources.remove(item)
        self.events.summary(self.changes)

    def _step(self, operation: str, item: Item, keys: list[str]) -> None:
        self.changes.append((operation, item.urn))
        self.events.planned(operation, item, keys)

    def _fail_if_told(self, item: Item) -> None:
        if reason := self.pulumi.failing.get(item.kind):
            self._fail(item, reason)

    def _fail(self, item: Item, reason: str) -> None:
        self.events.failed(item, reason)
        raise Failed(reason)


class Events:
    """Sends the engine's events to whoever asked for them, by gRPC as every version after 3.205 does."""

    def __init__(self, address: str) -> None:
        self._address = address.removeprefix("tcp://")
        self._sent: list[dict[str, Any]] = []

    def planned(self, operation: str, item: Item, keys: list[str]) -> None:
        self._sent.append({"resourcePreEvent": {"metadata": _metadata(operation, item, keys)}})

    def done(self, operation: str, item: Item, keys: list[str]) -> None:
        self._sent.append({"resOutputsEvent": {"metadata": _metadata(operation, item, keys)}})

    def failed(self, item: Item, reason: str) -> None:
        message = f"<{{%fg 1%}}>error: <{{%reset%}}>{reason}\n"
        self._sent.append(
            {"diagnosticEvent": {"urn": item.urn, "message": message, "color": "raw", "severity": "error"}}
        )
        self._sent.append({"resOpFailedEvent": {"metadata": _metadata("update", item, []), "status": 0, "steps": 1}})

    def summary(self, changes: list[tuple[str, str]]) -> None:
        counts = {operation: sum(op == operation for op, _ in changes) for operation, _ in changes}
        self._sent.append({"summaryEvent": {"maybeCorrupt": False, "durationSeconds": 1, "resourceChanges": counts}})

    def close(self) -> None:
        """Send what there is, and have it taken before the command ends."""
        if not self._address:
            return
        numbered = (
            {"sequence": n, "timestamp": 0, **event} for n, event in enumerate([*self._sent, {"cancelEvent": {}}])
        )
        requests = (events_pb2.EventRequest(event=json.dumps(event)) for event in numbered)
        with grpc.insecure_channel(self._address) as channel:
            events_pb2_grpc.EventsStub(channel).StreamEvents(requests)


def _metadata(operation: str, item: Item, keys: list[str]) -> dict[str, Any]:
    state = {**item.exported(), "custom": True, "provider": "gcp"}
    return {"op": operation, "urn": item.urn, "type": state["type"], "provider": "gcp", "old": state, "diffs": keys}


def _exported(resources: list[dict[str, Any]], operations: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resources": resources, **({"pending_operations": operations} if operations else {})}


def _option(words: list[str], name: str) -> str:
    return next((after for word, after in itertools.pairwise(words) if word == name), "")


def _config(file: Path) -> dict[str, Any]:
    config = yaml.safe_load(file.read_text("utf-8"))["config"]
    return {name.removeprefix(_PREFIX): value for name, value in config.items() if name.startswith(_PREFIX)}
