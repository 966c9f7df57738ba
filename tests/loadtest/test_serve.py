"""--serve: the service of this checkout is started for a test, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.model.bundle import Bundle
from tests.conftest import REPOSITORY
from tests.loadtest.runs import command, wait
from tests.server import environment


@pytest.mark.slow
def test_an_interruption_stops_the_service_too_and_judges_nothing(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """SIGINT to the whole group, as Ctrl-C in a terminal does."""
    options = ("--serve", "--scenario", "steady", "--rate", "20", "--mix", "small", "--output", tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest", "run", *options],
        env=environment(MODEL_DIR=tiny_bundle.path),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = tmp_path / "service.log"
    end = time.monotonic() + 40
    while not (log.exists() and log.read_text().count('"path": "/predict"') > 4) and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    ended = wait(process, 40)
    assert ended.code == 130, ended.complained
    assert ended.said == ""
    assert "Interrupted: everything was stopped, nothing was judged." in ended.complained
    assert "Traceback" not in ended.complained
    assert {file.name for file in tmp_path.iterdir()} == {"service.log"}
    assert holders(log) == []


def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    ended = command("run", "--serve", "--output", tmp_path, MODEL_DIR=tmp_path / "none")
    ended.refused("The service did not start: Error:", "manifest.json is missing")


def holders(file: Path) -> list[str]:
    """Return the processes that hold a file open."""
    links = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.resolve() == file.resolve():
                links.append(str(link))
    return links
