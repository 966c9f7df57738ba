"""Servers as processes of their own on this machine: started, asked, weighed, and ended whatever happens."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from loadtest.errors import LoadTestError, make_folder

_START_LIMIT_SEC = 120.0
_STOP_LIMIT_SEC = 20.0
_LAST_LINES, _MOST_SAID_BYTES = 3, 1 << 20


def free_port() -> int:
    """Return a port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def memory_mb(pids: Sequence[int]) -> float:
    """Return the proportional set size of processes in MB, shared pages shared out; NaN where /proc does not tell."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return float("nan")
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / 1e6


class Server:
    """A server that was started, on a free port: `{port}` in its command and environment.

    It has a process group of its own, so that Ctrl-C reaches the test alone, which then ends it in order. What it says
    goes to `log`, or is kept for the error that says why it did not start.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path | None = None):
        self.name, self.port = name, free_port()
        self._said = log.open("w+b") if log else tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop()
        self._began = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603  # this project's own commands
            [part.replace("{port}", str(self.port)) for part in command],
            env={**os.environ, **{key: value.replace("{port}", str(self.port)) for key, value in environment.items()}},
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until(self, ready: Callable[[], bool], limit_sec: float = _START_LIMIT_SEC) -> float:
        """Return the seconds from the start until `ready()`.

        Raises:
            LoadTestError: it ended, or took longer; with what it said last.
        """
        while time.perf_counter() - self._began < limit_sec:
            if (code := self._process.poll()) is not None:
                raise LoadTestError(f"{self.name} did not start: {self._last_words() or f'it ended with {code}'}")
            if ready():
                return time.perf_counter() - self._began
            time.sleep(0.005)
        raise LoadTestError(
            f"{self.name} did not start within {limit_sec:.0f} s: {self._last_words() or 'it is silent'}"
        )

    def listens(self) -> bool:
        """Return whether connections are accepted, which is less than ready."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

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

    def pids(self) -> list[int]:
        """List the server's processes."""
        pids, todo = [], [self._process.pid]
        while todo:
            pids.append(pid := todo.pop())
            with contextlib.suppress(OSError):  # it ended, or this system has no /proc
                todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return pids

    def memory_mb(self) -> float:
        """Return the proportional set size of all its processes in MB."""
        return memory_mb(self.pids())

    def stop(self) -> None:
        """End all its processes: politely, then at once."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_STOP_LIMIT_SEC)
                break
        self._said.close()

    def _last_words(self) -> str:
        said = os.pread(self._said.fileno(), _MOST_SAID_BYTES, 0).decode(
            "utf-8", "replace"
        )  # its place is the server's
        return " ".join(" ".join(said.splitlines()[-_LAST_LINES:]).split())


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run the service of this checkout for one test; yields its address once it listens. Its log goes to `folder`.

    Raises:
        LoadTestError: it does not start; with what it said last.
    """
    make_folder(folder)
    settings = {"DRAIN_SEC": os.environ.get("DRAIN_SEC", "0"), "HOST": "127.0.0.1", "PORT": "{port}"}
    server = Server("The service", [sys.executable, "-m", "service", "serve"], settings, folder / "service.log")
    try:
        server.wait_until(server.listens)
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
