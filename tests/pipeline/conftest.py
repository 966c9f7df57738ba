"""What the tests of the pipeline share: a checkout with a stack, and programs in place of gcloud and pulumi."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.pipeline import fake_google
from tests.pipeline.world import World

PROJECT, REGION = fake_google.PROJECT, fake_google.REGION
REGISTRY = f"{REGION}-docker.pkg.dev/{PROJECT}/classifier-dev"
OLD, NEW = (f"{REGISTRY}/classifier@sha256:{digit * 64}" for digit in "ab")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
STACK_FILE = f"""secretsprovider: gcpkms://projects/{PROJECT}/locations/{REGION}/keyRings/pulumi/cryptoKeys/state
encryptedkey: AAAA
config:
  gcp:project: {PROJECT}
  gcp:region: {REGION}
  own-cloud-classifier:allowlist: [203.0.113.0/24]
  own-cloud-classifier:onDemandMin: 1
  own-cloud-classifier:onDemandMax: 3
"""


def recorded(name: str) -> str:
    """Return something that Pulumi says: its sources and public reports of it are where it is from."""
    return (Path(__file__).parent / "recorded" / name).read_text("utf-8")


@dataclass
class Tools:
    """A folder with stand-ins for gcloud and pulumi; `say` adds a rule, later ones come first."""

    folder: Path
    rules: list[dict[str, Any]] = field(default_factory=list)

    def say(self, *when: str, out: str = "", err: str = "", code: int = 0, times: int | None = None) -> None:
        rule: dict[str, Any] = {"when": list(when), "out": out, "err": err, "code": code}
        if times is not None:
            rule["times"] = times
        self.rules.insert(0, rule)
        (self.folder / "script.json").write_text(json.dumps(self.rules))

    @property
    def log(self) -> Path:
        return self.folder / "calls.jsonl"

    def calls(self, *words: str) -> list[list[str]]:
        """Return the commands so far in which all words occur."""
        commands = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [command for command in commands if set(words) <= set(command)]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put them on this process's own PATH."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "FAKE_TOOLS": str(self.folder)}


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("gcloud", "pulumi"):
        file = folder / name
        source = (Path(__file__).parent / "fake_tool.py").read_text("utf-8")
        file.write_text(f"#!{sys.executable} -SE\n{source}")
        file.chmod(0o755)
    (folder / "script.json").write_text("[]")
    return Tools(folder)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "programs")
    yield made
    made.close()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of which the stack dev is committed: the scripts, and nothing else that a test would wait for."""
    folder = tmp_path / "checkout"
    for name in ("container", "infra", "pipeline"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "cloudbuild.yaml", folder)
    (folder / "Pulumi.dev.yaml").write_text(STACK_FILE)
    return folder


def run(
    command: list[str], folder: Path, tools: Tools | World | None = None, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a step in a checkout, with nothing of this process's own settings that it might read."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "SSL_CERT_FILE")}
    environment = {
        **kept,
        **(tools.environment if tools else {}),
        **{key: str(value) for key, value in settings.items()},
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence with which a step stopped; it did stop, with code 1 and without a trace."""
    assert result.returncode == 1, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stdout + result.stderr
    said = [line for line in result.stderr.splitlines() if line.startswith("pipeline: ")]
    assert len(said) == 1, result.stderr
    return said[0].removeprefix("pipeline: ")
