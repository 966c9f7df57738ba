"""Plain Locust: its own command and options, a person's own tasks, and the targets, reports and exit codes of ours."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.loadtest.runs import LENIENT, locust, requests, results, start, targets
from tests.loadtest.scripted import GOOD, Answer, answer, serving
from tests.server import environment

pytestmark = pytest.mark.slow

LOCUSTFILE = ("-f", REPOSITORY / "loadtest" / "locustfile.py", "--headless")
MIX = ("--mix", "small")


def locusts_own(folder: Path) -> dict[str, dict[str, str]]:
    """Return Locust's statistics by name."""
    with (folder / "own_stats.csv").open(newline="") as file:
        return {row["Name"]: row for row in csv.DictReader(file)}


def test_from_any_folder_with_locusts_own_reports_and_variables(tmp_path: Path) -> None:
    """A real process: nothing but the file's path says where the load test is."""
    settings = {"PYTHONPATH": "", "LOCUST_SCENARIO": "steady", "LOCUST_RATE": "10", "LOCUST_SECONDS": "0.8"}
    own = ("--csv", "own", "--html", "own.html", "--report", "ours", "--no-charts", "--warm-up", "0")
    with serving() as server:
        command = [sys.executable, "-m", "locust", *LOCUSTFILE, "--host", server.url, *MIX, *own]
        ended = subprocess.run(
            list(map(str, command)),
            env=environment(**settings),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1, ended.stderr  # eight answers do not know a p95
    assert "OF 6 TARGETS ARE MISSED   steady: 10 requests a second for 0.8 s" in ended.stdout
    assert results(tmp_path / "ours")["figures"]["all"]["good"] == 8
    assert locusts_own(tmp_path)["small"]["Request Count"] == "8"
    assert "<html" in (tmp_path / "own.html").read_text("utf-8").lower()


def documented() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "loadtest.md").read_text("utf-8"), re.DOTALL)
    return str(block)


def test_a_person_adds_tasks_in_ten_lines(tmp_path: Path) -> None:
    """The documentation's file: its requests take arrivals as pictures do, and are judged and reported with them."""
    file = tmp_path / "mine.py"
    file.write_text(documented())
    assert len(documented().splitlines()) <= 10
    load = (*MIX, "--rate", 50, "--seconds", 2, "--targets", targets(tmp_path, smoke=LENIENT), "--report", tmp_path)
    with serving(**{"": answer(200, {})}) as server:  # type: ignore[arg-type]  # a page, by its path
        ended = locust("-f", file, "--headless", "--host", server.url, *load, cwd=tmp_path, LOADTEST_TOKEN="t0ken")  # noqa: S106
        assert {headers.get("Authorization") for _, headers in server.seen} == {"Bearer t0ken"}
    assert ended.code == 0, ended.complained
    kinds = results(tmp_path)["figures"]["kinds"]
    assert kinds["small"]["good"] + kinds["page"]["good"] == 100
    assert 1 <= kinds["page"]["good"] <= 30  # a tenth, by chance
    assert "  page  " in ended.said
    assert re.search(r"<td>page</td>", (tmp_path / "report.html").read_text("utf-8"))
    assert {row["kind"] for row in requests(tmp_path)} == {"small", "page"}


def test_locusts_own_numbers_of_users_and_a_failing_task(tmp_path: Path) -> None:
    """Without our shape: -u, -r and -t, in a closed loop; what fails is in our verdict, too."""
    file = tmp_path / "mine.py"
    file.write_text(
        documented()
        .replace(", Scenarios  # noqa: F401  # Scenarios: the load that --scenario names", "")
        .replace("    @task", "    wait_time = lambda self: 0.05\n\n    @task")
    )
    table = targets(tmp_path, smoke='error_ratio = "<= 0"\n')
    with serving() as server:
        load = ("-u", 3, "-r", 3, "-t", "2s", *MIX, "--targets", table, "--report", tmp_path, "--no-charts")
        ended = locust("-f", file, "--headless", "--host", server.url, *load)
    assert ended.code == 1, ended.complained
    everything = results(tmp_path)["figures"]["all"]
    assert 20 < everything["sent"] <= 130  # three users, twenty a second each
    assert everything["failed"] == results(tmp_path)["figures"]["kinds"]["page"]["sent"] > 0
    assert "clients that wait for their answers" in ended.said


def test_an_exception_of_a_task_is_a_failure_and_an_arrival_that_was_answered_by_nobody(tmp_path: Path) -> None:
    """Locust alone would end with 1, too."""
    file = tmp_path / "mine.py"
    file.write_text(
        documented().replace('self.client.get("/", name="page")', 'raise ValueError("the basket is empty")')
    )
    load = (*MIX, "--rate", 50, "--seconds", 0.9, "--targets", targets(tmp_path, smoke=LENIENT), "--report", tmp_path)
    with serving() as server:
        ended = locust("-f", file, "--headless", "--host", server.url, *load, "--no-charts")
    assert ended.code == 1, ended.complained
    figures = results(tmp_path)["figures"]
    assert figures["kinds"]["exceptions of tasks"]["failed"] == figures["all"]["failed"] > 0
    assert figures["all"]["offered"] == 45
    assert "failed, a task raised ValueError: the basket is empty" in ended.said


def test_a_user_whom_no_scenario_reaches_is_named(tmp_path: Path) -> None:
    """It would never end: it takes no arrivals."""
    file = tmp_path / "mine.py"
    file.write_text("from locust import User\nfrom loadtest.locustfile import Scenarios\nclass Other(User): ...\n")
    locust("-f", file, "--headless", "--host", "http://127.0.0.1:1").refused("Other is no PictureUser")


def test_ctrl_c_while_the_host_thinks_is_an_interruption_and_no_traceback(tmp_path: Path) -> None:
    def script(number: int) -> Answer:
        asked.set()
        over.wait(20)
        return GOOD

    asked, over = threading.Event(), threading.Event()
    with serving(script) as server:
        running = start(*LOCUSTFILE, "--host", server.url, *MIX, program="locust")
        assert asked.wait(30)
        running.send(signal.SIGINT)
        ended = running.wait()
        over.set()
    assert ended.code == 130
    assert ended.complained.splitlines()[-1].startswith("Interrupted: nothing was sent but a question")
    assert "Traceback" not in ended.complained
