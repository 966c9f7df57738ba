"""The servers that are compared, each in processes of its own: ours with every engine, the plain one, and peers."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.bench.clients import PATH, Connection
from service.bundle import NETWORKS

_START_LIMIT_SEC = 120
# Modules of loadtest.peers, and the package that each needs.
_PEERS = {"litserve": "litserve", "mosec": "mosec", "bentoml": "bentoml", "ray": "ray", "torchserve": "ts"}


@dataclass(frozen=True)
class Contender:
    """How to start a server: the command (with {port} in it), its environment, and how to tell that it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str | None = "/readyz"  # where it has none, it is ready when it answers a picture
    needs: str | None = None  # a package; without it the contender is left out
    as_json: bool = False  # it takes no raw bodies
    path: str = PATH  # where it takes pictures


def contenders(bundle: Path) -> list[Contender]:
    """Return everyone who can be started here with the network in `bundle`."""
    python = sys.executable
    ours = [python, "-m", "service", "serve"]
    base = {
        "MODEL_DIR": str(bundle),
        "DRAIN_SEC": "0",
        "KEEPALIVE_SEC": "620",  # as behind a balancer: no client meets a connection that is just being closed
        "LOG_LEVEL": "warning",
        "HOST": "127.0.0.1",
        "PORT": "{port}",
    }
    found = [
        Contender("plain", [python, "-m", "loadtest.plain", "{port}"], ready_path=None),
        *(
            Contender(f"{engine} {precision}", ours, {**base, "ENGINE": engine, "PRECISION": precision})
            for engine in ("openvino", "onnxruntime")
            for precision in ("int8", "fp32")
        ),
        *(
            Contender(f"{engine} fp32", ours, {**base, "ENGINE": engine, "PRECISION": "fp32"})
            for engine in ("ncnn", "torch")
        ),
        *(
            Contender(
                f"{peer} int8",
                [python, "-m", f"loadtest.peers.{peer}", "{port}", str(bundle / NETWORKS["int8"])],
                ready_path=None,
                needs=package,
                as_json=peer == "litserve",
                path="/predictions/classifier" if peer == "torchserve" else PATH,
            )
            for peer, package in _PEERS.items()
        ),
    ]
    return [item for item in found if item.needs is None or importlib.util.find_spec(item.needs)]


class Server:
    """A contender that was started."""

    def __init__(self, contender: Contender) -> None:
        self.name = contender.name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        fill = {"{port}": str(self.port)}
        self._ready_path = contender.ready_path
        self._as_json = contender.as_json
        self._path = contender.path
        self._began = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603  # this project's own commands
            [fill.get(part, part) for part in contender.command],
            env={**os.environ, **{key: fill.get(value, value) for key, value in contender.environment.items()}},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until_ready(self, picture: bytes) -> float:
        """Return the seconds from start to ready; `picture` is for those who have no other way to tell.

        Raises:
            RuntimeError: it ended, or took more than two minutes.
        """
        while time.perf_counter() - self._began < _START_LIMIT_SEC:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self._process.returncode} before it was ready")
            if (self.get(self._ready_path)[0] if self._ready_path else self._answers(picture)) == 200:
                return time.perf_counter() - self._began
            time.sleep(0.005)
        raise RuntimeError(f"{self.name} is not ready after {_START_LIMIT_SEC} s")

    def _answers(self, picture: bytes) -> int:
        [connection] = self.connections(picture, 1)
        try:
            return connection()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for a page; a status of 0 means that nobody answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def model(self) -> dict[str, Any] | None:
        """Return what /version says of the model, None for servers that have no such page."""
        status, body = self.get("/version")
        found: dict[str, Any] | None = json.loads(body)["model"] if status == 200 else None
        return found

    def connections(self, picture: bytes, count: int) -> list[Connection]:
        """Return clients that each send `picture` over a connection of their own."""
        return [Connection(self.port, picture, self._as_json, self._path) for _ in range(count)]

    def pids(self) -> list[int]:
        """List the server's processes."""
        found, todo = [], [self._process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                continue  # it ended, or this system has no /proc
        return found

    def memory_mb(self) -> float:
        """Return the proportional set size of all its processes in MB; NaN where /proc does not tell."""
        total = 0
        for pid in self.pids():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                return float("nan")
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total * 1024 / 1e6

    def stop(self) -> None:
        """End all its processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(timeout=20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
