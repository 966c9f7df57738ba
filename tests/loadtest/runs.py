"""Load tests as a person or a pipeline meets them: a process, its exit code, what it said, what it wrote."""

from __future__ import annotations

import atexit
import contextlib
import csv
import functools
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY, encode, photo
from tests.server import environment

# Answers, however slow: for tests that are about something else.
LENIENT = 'error_ratio = "<= 0"\nrefused_ratio = "<= 0"\np50_ms = "< 30000"\n'


@dataclass
class Ended:
    """A command that ended."""

    code: int
    said: str
    complained: str

    def refused(self, *parts: str) -> None:
        """Assert what every bad input brings: exit code 2, one sentence on standard error, no green word anywhere."""
        assert self.code == 2, self.complained
        assert self.said == ""
        lines = [line for line in self.complained.splitlines() if not line.startswith(("Starting", "["))]
        assert len(lines) == 1, self.complained
        assert lines[0].startswith("Error: ")
        for part in parts:
            assert part in lines[0]


class _Forks:
    """The process of forkserver.py."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="loadtests-"))
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.loadtest.forkserver", str(theirs_in), str(theirs_out)],
            env=environment(),
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._orders, self._answers = os.fdopen(ours_out, "w"), os.fdopen(ours_in)
        atexit.register(self.stop)

    def ask(self, **order: object) -> Any:
        self._orders.write(json.dumps(order) + "\n")
        self._orders.flush()
        return json.loads(self._answers.readline())

    def stop(self) -> None:
        self._orders.close()
        self._process.wait(10)
        self._answers.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def _forks() -> _Forks:
    return _Forks()


class Running:
    """A load test that was started."""

    def __init__(self, command: list[str], typed: str, settings: Mapping[str, object], cwd: Path) -> None:
        folder = Path(tempfile.mkdtemp(dir=_forks().folder))
        self.files = [folder / name for name in ("in", "out", "err")]
        self.files[0].write_text(typed)
        names = [str(file) for file in self.files]
        self.code: int | None = None
        env = environment(**settings)
        self.pid: int = _forks().ask(command=command, env=env, cwd=str(cwd), files=names)

    def poll(self) -> int | None:
        if self.code is None:
            self.code = _forks().ask(poll=self.pid)
        return self.code

    def send(self, number: int, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    def wait(self, limit_sec: float = 90) -> Ended:
        """Return how it ended; where it does not in time, kill it and say what it said."""
        end = time.monotonic() + limit_sec
        while (code := self.poll()) is None and time.monotonic() < end:
            time.sleep(0.01)
        if code is None:
            self.kill()
            raise TimeoutError(self.complained())
        return Ended(code, self.files[1].read_text("utf-8"), self.complained())

    def complained(self) -> str:
        return self.files[2].read_text("utf-8")

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            self.send(signal.SIGKILL, group=True)
        while self.poll() is None:
            time.sleep(0.01)


def start(
    *arguments: object,
    program: str = "loadtest",
    typed: str = "",
    settings: Mapping[str, object] | None = None,
    cwd: Path = REPOSITORY,
) -> Running:
    """Start `python -m loadtest ...`, or the other `program`, `locust`."""
    return Running([program, *map(str, arguments)], typed, settings or {}, cwd)


def command(*arguments: object, **settings: object) -> Ended:
    return start(*arguments, settings=settings).wait()


def locust(*arguments: object, cwd: Path = REPOSITORY, **settings: object) -> Ended:
    return start(*arguments, program="locust", settings=settings, cwd=cwd).wait()


def results(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "results.json").read_text("utf-8"))
    return document


def requests(folder: Path) -> list[dict[str, str]]:
    with gzip.open(folder / "requests.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def small_pictures(folder: Path) -> Path:
    """Return a new folder with one picture: making all sorts takes seconds."""
    pictures = folder / "pictures"
    pictures.mkdir()
    (pictures / "small.jpg").write_bytes(encode(photo()))
    return pictures


def targets(folder: Path, **tables: str) -> Path:
    """Write a target file with a table for each scenario."""
    file = folder / "targets.toml"
    file.write_text("".join(f"[{name}]\n{text}\n" for name, text in tables.items()), "utf-8")
    return file
