"""`python -m loadtest` as a person or a pipeline meets it: a process, its exit code, what it said, what it wrote."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
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
        lines = [line for line in self.complained.splitlines() if not line.startswith("Starting")]
        assert len(lines) == 1, self.complained
        assert lines[0].startswith("Error: ")
        for part in parts:
            assert part in lines[0]


def start(*arguments: object, settings: Mapping[str, object] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "loadtest", *map(str, arguments)],
        env=environment(**(settings or {})),
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: subprocess.Popen[str], limit_sec: float = 90) -> Ended:
    try:
        said, complained = process.communicate(timeout=limit_sec)
    finally:
        process.kill()
    return Ended(process.returncode, said, complained)


def command(*arguments: object, **settings: object) -> Ended:
    return wait(start(*arguments, settings=settings))


def results(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "results.json").read_text("utf-8"))
    return document


def requests(folder: Path) -> list[dict[str, str]]:
    with gzip.open(folder / "requests.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def small_pictures(folder: Path) -> Path:
    """Return a new folder with one picture: a worker without any makes all sorts, which takes it seconds."""
    pictures = folder / "pictures"
    pictures.mkdir()
    (pictures / "small.jpg").write_bytes(encode(photo()))
    return pictures


def targets(folder: Path, **tables: str) -> Path:
    """Write a target file with a table for each scenario."""
    file = folder / "targets.toml"
    file.write_text("".join(f"[{name}]\n{text}\n" for name, text in tables.items()), "utf-8")
    return file
