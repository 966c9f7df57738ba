"""A contender in processes of its own: started, asked, weighed, ended."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from loadtest.bench.clients import Connection
from loadtest.bench.contenders import Contender

_START_LIMIT_SEC = 120


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
        self._process = subprocess.Popen(  # this project's own commands
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
        model: dict[str, Any] | None = json.loads(body)["model"] if status == 200 else None
        return model

    def connections(self, picture: bytes, count: int) -> list[Connection]:
        """Return clients that each send `picture` over a connection of their own."""
        return [Connection(self.port, picture, self._as_json, self._path) for _ in range(count)]

    def pids(self) -> list[int]:
        """List the server's processes."""
        pids, todo = [], [self._process.pid]
        while todo:
            pid = todo.pop()
            pids.append(pid)
            try:
                todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                continue  # it ended, or this system has no /proc
        return pids

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
