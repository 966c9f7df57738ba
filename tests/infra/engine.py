"""Pulumi's engine, as far as a program can see it: runs the real program and records what it registers.

`Engine.run` starts a program in a process of its own (launcher.py), connected by gRPC (monitor.py) as it is to the real
engine, in preview (what is not known yet is unknown) or in update (cloud.py answers in Google's stead). There is no
provider, so nothing is validated as Google would; sdk.py and discovery.py check inputs afterwards.

Everything that touches Pulumi's internals is in these files and in sdk.py; requirements/infra.txt pins the SDK.
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
from typing import Self

import grpc
from pulumi.runtime.proto import engine_pb2_grpc, resource_pb2_grpc

from tests.infra import cloud
from tests.infra.deployment import Deployment
from tests.infra.monitor import Monitor


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
        monitor = Monitor(project, stack, preview, google or cloud.Cloud(), before)
        server = grpc.server(futures.ThreadPoolExecutor(8))
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
        engine_pb2_grpc.add_EngineServicer_to_server(monitor, server)
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
            resources=tuple(monitor.resources.values()),
            outputs=monitor.outputs,
            output_secrets=frozenset(monitor.output_secrets),
            messages=tuple(monitor.messages),
            invokes=tuple(monitor.invokes),
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
