"""--serve: the service of this checkout is started for a test, and never left behind."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from pathlib import Path

import pytest

from service.model.bundle import Bundle
from tests.loadtest.runs import command, requests, results, start

pytestmark = pytest.mark.slow


def test_an_interruption_judges_what_was_measured_and_stops_the_service_too(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """SIGINT to the whole group, as Ctrl-C in a terminal does."""
    options = ("--serve", "--scenario", "steady", "--rate", "20", "--mix", "small", "--warm-up", 0, "--no-charts")
    process = start("run", *options, "--output", tmp_path, settings={"MODEL_DIR": tiny_bundle.path})
    log = tmp_path / "service.log"
    end = time.monotonic() + 40
    while not (log.exists() and log.read_text().count('"path": "/predict"') > 8) and time.monotonic() < end:
        time.sleep(0.05)
    process.send(signal.SIGINT, group=True)
    ended = process.wait(40)
    assert ended.code == 130, ended.complained
    assert re.match(r"INTERRUPTED: \d OF 6 TARGETS ARE MISSED SO FAR   steady: 20 requests a second", ended.said)
    assert "Interrupted: the test is stopped; what was measured so far is judged." in ended.complained
    assert "Traceback" not in ended.complained
    assert holders(log) == []
    result = results(tmp_path)
    assert (result["met"], result["only_late"], result["interrupted"]) == (False, False, True)
    everything = result["figures"]["all"]
    assert 7 <= everything["good"] == everything["sent"] == len(requests(tmp_path)) < 1800
    assert everything["seconds"] < 60
    assert "ran to its end" in (tmp_path / "junit.xml").read_text()


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
