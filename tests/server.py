"""A real service for tests: `python -m service serve` as a process of its own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY

START_LIMIT_SEC = 60


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def lines(self) -> list[dict[str, Any]]:
        """Return every line of standard output so far; each must be JSON."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_LIMIT_SEC
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(OSError):
                if self.request("GET", "/readyz").status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"not ready after {START_LIMIT_SEC} s: {self.log.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=40)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with settings added."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **{key: str(value) for key, value in settings.items()}}


@contextlib.contextmanager
def running(
    folder: Path, wait: bool = True, sandbox: Callable[[], None] | None = None, **settings: object
) -> Iterator[Server]:
    """Run the service with `settings` as its environment, in a sandbox of tests/sandbox.py, until the block ends."""
    port = free_port()
    log = folder / f"server-{port}.log"
    with log.open("wb") as output, (folder / f"server-{port}.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            env=environment(**{"PORT": port, "DRAIN_SEC": 0, **settings}),
            stdout=output,
            stderr=errors,
            start_new_session=True,
            preexec_fn=sandbox,  # noqa: PLW1509  # nothing in it takes a lock
        )
    server = Server(process, port, log)
    try:
        if wait:
            server.wait_until_ready()
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=35)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
