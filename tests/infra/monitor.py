"""The two services that Pulumi's engine has for programs, for one run: records what is registered, said, looked up.

Like the real engine it refuses a URN that is registered twice, and a dependency on what does not exist.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

from tests.infra import cloud
from tests.infra.deployment import UNKNOWN, Deployment, Message, Resource

# Wire format of pulumi.runtime.rpc: how secrets and unknowns are marked in a Struct.
_UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # a marker
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"

_FEATURES = [
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
]
_SEVERITIES = {
    engine_pb2.DEBUG: "debug",
    engine_pb2.INFO: "info",
    engine_pb2.WARNING: "warning",
    engine_pb2.ERROR: "error",
}
_OPTIONS = (
    "protect", "deleteBeforeReplace", "ignoreChanges", "additionalSecretOutputs", "replaceOnChanges",
    "retainOnDelete", "deletedWith", "importId", "customTimeouts", "aliases", "provider", "hideDiffs",
)  # fmt: skip


class Monitor(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
    """Both services for one run. gRPC calls it from several threads; the lock makes one sequence of it."""

    def __init__(self, project: str, stack: str, preview: bool, google: cloud.Cloud, before: Deployment | None) -> None:
        self.project, self.stack, self.preview, self.google, self.before = project, stack, preview, google, before
        self.lock = threading.Lock()
        self.resources: dict[str, Resource] = {}
        self.outputs: dict[str, Any] = {}
        self.output_secrets: set[str] = set()
        self.messages: list[Message] = []
        self.invokes: list[tuple[str, dict[str, Any]]] = []

    # Names of methods, here and below, are gRPC's.
    def GetDeploymentInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return resource_pb2.DeploymentInfo(
            project=self.project, stack=self.stack, dryRun=self.preview, supportedFeatures=_FEATURES
        )

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        raw = _decode(request.object)
        secrets: set[str] = set()
        inputs = plain(raw, "", secrets)
        with self.lock:
            urn = self._urn(request.type, request.name, request.parent)
            if urn in self.resources:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Duplicate resource URN '{urn}'; try giving it a name")
            needed = {*request.dependencies, *([request.parent] if request.parent else [])}
            if absent := needed - self.resources.keys():
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{urn} depends on {sorted(absent)}, which is absent")
            resource = Resource(
                type=request.type,
                name=request.name,
                urn=urn,
                parent=request.parent,
                custom=request.custom,
                inputs=inputs,
                secrets=frozenset(secrets),
                outputs={},
                dependencies=frozenset(request.dependencies),
                property_dependencies={
                    key: frozenset(item.urns) for key, item in request.propertyDependencies.items() if item.urns
                },
                options=_options(request),
            )
            computed = self._computed(resource)
            resource.outputs.update({**inputs, **computed})
            self.resources[urn] = resource
        # Inputs go back as they came, with their marks of secrecy.
        return resource_pb2.RegisterResourceResponse(
            urn=urn, id=str(computed.get("id", "")), object=_encode({**raw, **computed})
        )

    def _computed(self, resource: Resource) -> dict[str, Any]:
        """Return the outputs that inputs do not give: in a preview those of what is there and is not replaced."""
        if not resource.custom:
            return {}
        if not self.preview:
            return self.google.create(resource)
        existing = self.before.by_urn.get(resource.urn) if self.before else None
        if existing is None or (resource.kind in cloud.IMMUTABLE and existing.inputs != resource.inputs):
            return {}
        return {key: value for key, value in existing.outputs.items() if key not in resource.inputs}

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self.lock:
            if self.resources[request.urn].type == "pulumi:pulumi:Stack":
                self.outputs = plain(_decode(request.outputs), "", self.output_secrets)
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        arguments = plain(_decode(request.args))
        with self.lock:
            self.invokes.append((request.tok, arguments))
        try:
            answer = self.google.invoke(request.tok, arguments)
        except LookupError as error:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
        return resource_pb2.ResourceInvokeResponse(**{"return": _encode(answer)})

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self.lock:
            self.messages.append(Message(_SEVERITIES[request.severity], request.message, request.urn))
        return empty_pb2.Empty()

    def RequirePulumiVersion(self, request: Any, context: Any) -> Any:  # noqa: N802
        return engine_pb2.RequirePulumiVersionResponse()

    def _urn(self, kind: str, name: str, parent: str) -> str:
        # The types of the parents below the stack come first: urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME
        above = parent.split("::")[2] + "$" if parent and "pulumi:pulumi:Stack" not in parent.split("::")[2] else ""
        return f"urn:pulumi:{self.stack}::{self.project}::{above}{kind}::{name}"


def _options(request: Any) -> dict[str, Any]:
    """Return the resource options that were set, as plain data."""
    fields = json_format.MessageToDict(request, preserving_proto_field_name=True)
    options = {name: fields[name] for name in _OPTIONS if fields.get(name) not in (None, "", [], {}, False)}
    if "provider" in options:
        # URN::ID, of which only an update knows the second.
        options["provider"] = options["provider"].rpartition("::")[0]
    if request.deleteBeforeReplaceDefined:
        options["deleteBeforeReplace"] = request.deleteBeforeReplace
    return options


def plain(value: Any, path: str = "", secrets: set[str] | None = None) -> Any:
    """Turn a property from the wire into plain data, adding the paths of secrets to `secrets`.

    Whole numbers become int: the wire knows only floating point.
    """
    if isinstance(value, dict):
        signature = value.get(_SIGNATURE)
        if signature in (_SECRET, _OUTPUT):
            if secrets is not None and (signature == _SECRET or value.get("secret")):
                secrets.add(path)
            return plain(value["value"], path, secrets) if "value" in value else UNKNOWN
        if signature == _RESOURCE:
            return plain(value.get("id") or value["urn"], path, secrets)
        return {key: plain(item, f"{path}.{key}" if path else key, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, f"{path}[{index}]", secrets) for index, item in enumerate(value)]
    if value == _UNKNOWN_TEXT:
        return UNKNOWN
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _decode(struct: struct_pb2.Struct) -> dict[str, Any]:
    decoded: dict[str, Any] = json_format.MessageToDict(struct)
    return decoded


def _encode(values: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct
