"""A test that is started and watched in Locust's own page: `--web`, or `locust` without --headless."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.loadtest.runs import LENIENT, results, start, targets
from tests.loadtest.scripted import serving
from tests.server import free_port

pytestmark = pytest.mark.slow


def page(port: int, path: str, data: bytes | None = None) -> tuple[int, str]:
    """Return status and text of Locust's page; a status of 0 means that nobody answers yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def wait_for(port: int, path: str, status: int) -> str:
    """Return the text of a page once it has this status."""
    end = time.monotonic() + 60
    while (answer := page(port, path))[0] != status and time.monotonic() < end:
        time.sleep(0.05)
    assert answer[0] == status
    return answer[1]


def test_a_run_is_started_in_the_page_and_its_report_is_there(tmp_path: Path) -> None:
    """Ctrl-C ends the page with the exit code of the last run."""
    port = free_port()
    with serving() as server:
        file = targets(tmp_path, smoke=LENIENT)
        load = ("--mix", "small", "--rate", 10, "--seconds", 0.8, "--targets", file, "--output", tmp_path)
        process = start("run", "--host", server.url, *load, "--web", "--web-port", port)
        try:
            assert wait_for(port, "/loadtest", 404) == "No run was finished yet."
            assert page(port, "/swarm", b"user_count=1&spawn_rate=1")[0] == 200
            assert wait_for(port, "/loadtest", 200) == (tmp_path / "report.html").read_text("utf-8")
        finally:
            process.send(signal.SIGINT)
            ended = process.wait()
    assert ended.code == 0, ended.complained
    assert "ALL 3 TARGETS ARE MET" in ended.said
    assert results(tmp_path)["figures"]["all"]["good"] == 8


def test_with_the_class_picker_a_start_without_a_scenario_is_judged_too(tmp_path: Path) -> None:
    """Locust's page then offers "Default" for the load: its own number of users, until it is stopped."""
    port = free_port()
    load = ("--mix", "small", "--targets", targets(tmp_path, smoke='error_ratio = "<= 0"\n'), "--no-charts")
    with serving() as server:
        options = ("-f", REPOSITORY / "loadtest" / "locustfile.py", "--class-picker", "--web-port", port, *load)
        process = start(*options, "--host", server.url, program="locust")
        try:
            wait_for(port, "/loadtest", 404)
            form = b"user_count=2&spawn_rate=2&shape_class=Default&user_classes=Everyone"
            assert page(port, "/swarm", form)[0] == 200
            end = time.monotonic() + 30
            while len(server.seen) < 5 and time.monotonic() < end:
                time.sleep(0.02)
            assert page(port, "/stop", b"")[0] == 200
            wait_for(port, "/loadtest", 200)
        finally:
            process.send(signal.SIGINT)
            ended = process.wait()
    assert ended.code == 0, ended.complained
    assert ended.said.startswith("THE TARGET IS MET   smoke: 1 clients")
