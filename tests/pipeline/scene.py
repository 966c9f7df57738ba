"""A stack that runs an image, and a checkout with another one to be rolled out: where the tests of a rollout begin."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline import fleet_tests, rollout, settings
from pipeline.errors import StepFailed
from tests.answering import answering
from tests.pipeline.conftest import COMMIT, NEW, OLD
from tests.pipeline.world import World

ADDRESS = "203.0.113.77"
SAMPLE = b"a picture"
OLD_COMMIT = "f" * 40
COMMITS = {NEW: COMMIT, OLD: OLD_COMMIT}
# Quick, and as the load test ends where all targets are met; what it really does is tested in tests/loadtest.
LOAD = '#!/usr/bin/env bash\necho "$1 by $CONNECT_TO" >>ran\nexit ${LOAD_CODE:-0}\n'
QUICK = {"POLL_SEC": "0", "PROGRESS_SEC": "0", "LOCK_WAIT_SEC": "0", "READY_LIMIT_SEC": "0", "BUILD_ADDRESS": ADDRESS}


@dataclass
class Scene:
    """What is there, and what a rollout makes of it; it runs in this process."""

    folder: Path
    world: World
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    settings: dict[str, str] = field(default_factory=dict)

    def run(self, action: str = "deploy", **given: object) -> str:
        """Run an action that succeeds; returns what it printed."""
        self.capsys.readouterr()
        environment = {
            **QUICK,
            "COMMIT": COMMIT,
            **self.settings,
            **{name: str(value) for name, value in given.items()},
        }
        with self.monkeypatch.context() as context:
            context.chdir(self.folder)
            context.setattr(fleet_tests, "HERE", self.folder / "pipeline")
            for name, value in {**environment, **self.world.environment}.items():
                context.setenv(name, value)
            rollout.ACTIONS[action](settings.read(environment))
        return self.capsys.readouterr().out

    def refused(self, action: str = "deploy", **given: object) -> str:
        """Run an action that fails; returns its sentence."""
        with pytest.raises(StepFailed) as reason:
            self.run(action, **given)
        return str(reason.value)

    @property
    def ran(self) -> list[str]:
        """Return the load tests so far."""
        file = self.folder / "ran"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def image(self) -> str:
        """Return the image that the stack says it runs."""
        return str(self.world.pulumi.outputs.get("image", ""))

    def is_tidy(self) -> bool:
        """Return whether nobody is let in any more and no lock is left."""
        google = self.world.google
        locks = [name for name in google.objects if name.endswith("lock.json")]
        return not (google.rules or google.firewalls or locks or self.world.pulumi.locks)


class Fleet(http.server.ThreadingHTTPServer):
    """Answers as the machines behind the balancer would: with the commit of the image that healthy ones run."""

    daemon_threads = True

    def __init__(self, world: World) -> None:
        self.world = world
        super().__init__(("127.0.0.1", 0), _FleetHandler)


class _FleetHandler(http.server.BaseHTTPRequestHandler):
    server: Fleet

    def _answer(self, status: int, **document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        serving = self.server.world.google.serving
        commit = COMMITS[next(iter(serving))] if len(serving) == 1 else "several"
        self._answer(200 if serving else 502, commit=commit, model={"precision": "fp32"}, host=self.headers["Host"])

    def do_POST(self) -> None:
        if self.rfile.read(int(self.headers["Content-Length"])) == SAMPLE:
            self._answer(200, predictions=[{"index": 3, "probability": 0.9}, {"index": 5, "probability": 0.05}])
        else:
            self._answer(415, detail="This is no picture.")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


@contextmanager
def fleet(world: World) -> Iterator[Fleet]:
    """Serve a world's fleet while the block lasts."""
    with answering(Fleet(world)) as server:
        yield server


def leave_artifacts(folder: Path) -> None:
    """Leave what the steps before a rollout leave, for an image without samples."""
    artifacts = folder / ".pipeline"
    artifacts.mkdir()
    (artifacts / "digest").write_text(NEW + "\n")
    (artifacts / "manifest.json").write_text(json.dumps({"samples": []}))
    load = folder / "pipeline" / "load.sh"
    load.write_text(LOAD)
    load.chmod(0o755)
