"""Pulumi's engine, as far as a program can see it: runs the real program and records what it registers.

`Engine.run` starts a program in a process of its own, connected by gRPC as it is to the real engine, in preview (what
is not known yet is unknown) or in update (cloud.py answers in Google's stead). Like the real engine it refuses a URN
that is registered twice, and a dependency on what does not exist. It has no provider, so nothing is validated as Google
would; sdk.py and discovery.py check inputs afterwards.

Everything that touches Pulumi's internals is here and in launcher.py; requirements/dev.txt pins the SDK.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from concurrent import futures
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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


class ProgramHung(Exception):
    """The program did not end in time."""


@dataclass(frozen=True)
class Order:
    """What launcher.py needs to know to run a program once."""

    directory: str
    root: str
    project: str
    stack: str
    preview: bool
    address: str
    environment: dict[str, str]
    stdout: str
    stderr: str
    timeout_sec: int


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


class _Recorder(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
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


class Engine:
    """Runs programs; a context manager, since it keeps a process with the SDK loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory()
        self._launcher = subprocess.Popen(
            # -P: the directory of launcher.py stays off the module path, where the real host has nothing of ours.
            [sys.executable, "-P", str(Path(__file__).with_name("launcher.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment({}),
        )
        self._answer("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._launcher.stdin
        assert self._launcher.stdout
        self._launcher.stdin.close()
        self._launcher.wait(10)
        self._launcher.stdout.close()
        self._folder.cleanup()

    def run(
        self,
        directory: Path,
        config: Mapping[str, str],
        *,
        project: str,
        stack: str,
        root: Path | None = None,
        preview: bool = False,
        secret_keys: tuple[str, ...] = (),
        google: cloud.Cloud | None = None,
        before: Deployment | None = None,
        timeout_sec: int = 60,
    ) -> Deployment:
        """Run the program in `directory` to its end.

        Args:
            directory: has the program's __main__.py; its working directory.
            config: Pulumi's configuration, with namespaces, values as Pulumi stores them (project.py makes it).
            project: Pulumi's project.
            stack: Pulumi's stack.
            root: where Pulumi.yaml is; the directory's parent by default.
            preview: whether what the provider computes stays unknown.
            secret_keys: keys of `config` whose values are secret.
            google: what answers in Google's stead.
            before: what runs already, for a preview of a change: what stays as it is, is known.
            timeout_sec: a run takes a second, but a program can wait for what never comes.

        Raises:
            ProgramHung: after `timeout_sec`.
        """
        recorder = _Recorder(project, stack, preview, google or cloud.Cloud(), before)
        server = grpc.server(futures.ThreadPoolExecutor(8))
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(recorder, server)
        engine_pb2_grpc.add_EngineServicer_to_server(recorder, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with self._lock:
                stdout, stderr = (Path(self._folder.name) / name for name in ("stdout", "stderr"))
                order = Order(
                    directory=str(directory),
                    root=str(root or directory.parent),
                    project=project,
                    stack=stack,
                    preview=preview,
                    address=f"127.0.0.1:{port}",
                    environment=_environment(
                        {
                            "PULUMI_CONFIG": json.dumps(dict(config)),
                            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(secret_keys)),
                        }
                    ),
                    stdout=str(stdout),
                    stderr=str(stderr),
                    timeout_sec=timeout_sec,
                )
                assert self._launcher.stdin
                self._launcher.stdin.write(json.dumps(asdict(order)) + "\n")
                self._launcher.stdin.flush()
                exit_code = int(self._answer())
                output, errors = stdout.read_text("utf-8"), stderr.read_text("utf-8")
        finally:
            server.stop(None).wait()
        if exit_code < 0:
            raise ProgramHung(f"the program in {directory} ended by signal {-exit_code}\n{output}{errors}")
        return Deployment(
            project=project,
            stack=stack,
            preview=preview,
            config=dict(config),
            exit_code=exit_code,
            resources=tuple(recorder.resources.values()),
            outputs=recorder.outputs,
            output_secrets=frozenset(recorder.output_secrets),
            messages=tuple(recorder.messages),
            invokes=tuple(recorder.invokes),
            stdout=output,
            stderr=errors,
        )

    def _answer(self, expected: str = "") -> str:
        assert self._launcher.stdout
        answer = self._launcher.stdout.readline().strip()
        if not answer or (expected and answer != expected):
            raise RuntimeError(f"launcher.py said {answer!r}, and its exit code is {self._launcher.poll()}")
        return answer


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return a person's plain environment: no module path, no credentials, nothing of pytest's."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **more}
