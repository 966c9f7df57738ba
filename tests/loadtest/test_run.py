"""Real Locust against a real gunicorn, as a pipeline runs it: counts, exit codes, files. Bounded to seconds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from service.model.bundle import Bundle
from tests.conftest import REPOSITORY, encode, photo
from tests.loadtest.runs import LENIENT, Ended, command, requests, results, start, targets, wait
from tests.loadtest.scripted import GOOD, Answer, answer, problem, serving
from tests.server import Server, environment, free_port, running


@dataclass
class Done:
    """A run and the folder that it wrote."""

    ended: Ended
    folder: Path


@pytest.fixture(scope="module")
def server(digits_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("service"), MODEL_DIR=digits_bundle.path) as started:
        yield started


@pytest.fixture(scope="module")
def smoke(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A smoke test of five seconds with every kind of request."""
    folder = tmp_path_factory.mktemp("smoke")
    file = targets(folder, smoke=LENIENT)
    url = f"http://127.0.0.1:{server.port}"
    ended = command("run", "--host", url, "--seconds", 5, "--rate", 10, "--targets", file, "--output", folder)
    return Done(ended, folder)


class TestSmoke:
    def test_a_run_that_meets_its_targets_ends_with_0(self, smoke: Done) -> None:
        assert smoke.ended.code == 0, smoke.ended.complained
        assert smoke.ended.said.startswith("ALL 3 TARGETS ARE MET   smoke: 10 requests a second for 5 s")
        assert "Traceback" not in smoke.ended.complained
        assert "Warning" not in smoke.ended.complained

    def test_every_request_that_was_due_was_sent_once_and_answered_well(self, smoke: Done) -> None:
        """50 requests are two decks of 25; the bad files are answered well with what is wrong with them."""
        found = results(smoke.folder)["figures"]
        assert {kind: figures["good"] for kind, figures in found["kinds"].items()} == {
            "small": 34,
            "phone": 6,
            "png": 4,
            "several": 4,
            "bad": 2,
        }
        everything = found["all"]
        assert (everything["offered"], everything["sent"], everything["good"]) == (50, 50, 50)
        assert (everything["refused"], everything["failed"], everything["samples"]) == (0, 0, 48)

    def test_the_record_holds_every_request_in_the_order_in_which_it_was_due(self, smoke: Done) -> None:
        rows = requests(smoke.folder)
        assert [float(row["due_sec"]) for row in rows] == pytest.approx([n / 10 for n in range(50)])
        assert {row["outcome"] for row in rows} == {"good"}
        assert {row["reason"] for row in rows if row["kind"] == "bad"} <= {
            "415 unsupported-format",
            "422 damaged-picture",
        }

    def test_the_service_counted_the_same(self, smoke: Done, server: Server) -> None:
        """51 posts: the picture of the check before the test, and the 50 of the test."""
        text = server.request("GET", "/metrics").body.decode()
        counts = re.findall(r'classifier_requests_total\{route="/predict",status="(\d+)"\} (\d+)', text)
        assert sum(int(count) for _, count in counts) >= 51

    def test_the_result_names_model_machine_and_conditions(self, smoke: Done) -> None:
        conditions = results(smoke.folder)["conditions"]
        assert conditions["service"]["model"]["weights"] == "digits"
        assert conditions["machine"]["cpus"] >= 1
        assert conditions["process"]["used_cpu_sec"] > 0
        assert conditions["generator"]["processes"] == 1

    def test_the_summary_says_what_limits_it(self, smoke: Done) -> None:
        assert "small stand-in that knows handwritten digits" in smoke.ended.said
        assert "both shared its processors" in smoke.ended.said

    def test_percentiles_of_too_few_requests_are_not_printed(self, smoke: Done) -> None:
        (line,) = [line for line in smoke.ended.said.splitlines() if line.strip().startswith("small JPEG")]
        assert line.split()[-3:] != ["-", "-", "-"]  # the median of 34 is known
        assert line.split()[-2:] == ["-", "-"]

    def test_two_runs_are_compared(self, smoke: Done, tmp_path: Path) -> None:
        picture = tmp_path / "both.png"
        ended = command("compare", smoke.folder, smoke.folder / "results.json", "--output", picture)
        assert ended.code == 0, ended.complained
        assert "within chance" in ended.said
        assert "Not under the same conditions" not in ended.said
        assert picture.read_bytes().startswith(b"\x89PNG")

    def test_what_is_no_run_is_not_compared(self, smoke: Done, tmp_path: Path) -> None:
        command("compare", smoke.folder, tmp_path).refused("results.json cannot be read: No such file")
        (tmp_path / "results.json").write_text("{}")
        command("compare", smoke.folder, tmp_path).refused("is no saved run of this load test")


def test_an_impossible_target_ends_with_1_and_every_breach_is_in_every_report(server: Server, tmp_path: Path) -> None:
    impossible = (
        'error_ratio = "<= 0"\ngoodput_per_sec = ">= 5000"\n[smoke.small]\np50_ms = "< 0.1"\np99_ms = "< 0.1"\n'
    )
    file = targets(tmp_path, smoke=impossible)
    url = f"http://127.0.0.1:{server.port}"
    arguments = ("--host", url, "--mix", "small", "--rate", 20, "--seconds", 2, "--targets", file, "--output", tmp_path)
    ended = command("run", *arguments)
    assert ended.code == 1
    assert ended.said.startswith("3 OF 4 TARGETS ARE MISSED")
    missed = [line.split("MISSED  ")[1] for line in ended.said.splitlines() if "  MISSED  " in line]
    assert len(missed) == 3
    assert missed[0] == "goodput a second: 20/s, target >= 5000/s"
    assert re.fullmatch(r"p50 of small JPEG: [\d.]+ ms, target < 0.1 ms", missed[1])
    assert missed[2].endswith("target < 0.1 ms (40 classified pictures are too few to know it: it takes 299)")
    cases = ET.parse(tmp_path / "junit.xml").findall("testsuite/testcase/failure")  # noqa: S314  # written here
    assert [case.get("message") for case in cases] == missed
    assert [v["text"] for v in results(tmp_path)["verdicts"] if not v["met"]] == missed
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count(">MISSED<") == 3


def test_refusals_are_counted_apart_from_failures(digits_bundle: Bundle, tmp_path: Path) -> None:
    """A server that takes four at a time gets a crowd of large PNGs; nobody comes back."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "large.png").write_bytes(encode(photo().resize((3000, 2000)), "PNG", compress_level=1))
    file = targets(tmp_path, spike='error_ratio = "<= 0"\nrefused_ratio = ">= 0"\n'.replace(">=", "<"))
    with running(tmp_path, MODEL_DIR=digits_bundle.path, THREADS=1, QUEUE_SIZE=2) as server:
        url = f"http://127.0.0.1:{server.port}"
        arguments = ("--scenario", "steady", "--rate", 40, "--seconds", 2, "--warm-up", 0, "--no-retries")
        file = targets(tmp_path, steady='error_ratio = "<= 0"\nrefused_ratio = "<= 0.01"\n')
        folders = ("--pictures", tmp_path / "pictures", "--mix", "png", "--targets", file, "--output", tmp_path)
        ended = command("run", "--host", url, *arguments, *folders)
    assert ended.code == 1, ended.complained
    found = results(tmp_path)["figures"]["all"]
    assert found["offered"] == found["sent"] == 80
    assert found["failed"] == 0
    assert found["refused"] > 5
    assert found["good"] + found["refused"] == 80
    assert [error["reason"] for error in results(tmp_path)["errors"]] == ["429 overloaded"]


def test_a_service_that_dies_on_the_way_is_red(digits_bundle: Bundle, tmp_path: Path) -> None:
    file = targets(tmp_path, steady=LENIENT)
    with running(tmp_path, MODEL_DIR=digits_bundle.path) as server:
        options = ("--scenario", "steady", "--warm-up", 0, "--mix", "small", "--rate", 10, "--seconds", 3)
        arguments = ("--host", f"http://127.0.0.1:{server.port}", "--targets", file, "--output", tmp_path)
        process = start("run", *options, *arguments)
        while server.log.read_text("utf-8").count('"path": "/predict"') < 10:
            time.sleep(0.02)
        os.killpg(server.process.pid, signal.SIGKILL)
        ended = wait(process)
    assert ended.code == 1, ended.complained
    found = results(tmp_path)["figures"]["all"]
    assert found["offered"] == 30
    assert found["failed"] >= 10
    assert "connection refused" in {error["reason"] for error in results(tmp_path)["errors"]}


class TestScripted:
    """Against a server that misbehaves on command."""

    def run(self, url: str, folder: Path, *arguments: object, table: str = LENIENT) -> Ended:
        file = targets(folder, steady=table)
        always = ("--scenario", "steady", "--warm-up", 0, "--mix", "small", "--targets", file, "--output", folder)
        return command("run", "--host", url, *always, *arguments)

    def test_a_stall_is_charged_for_everyone_who_waited(self, tmp_path: Path) -> None:
        """One second of standstill at 20 a second: a closed loop would see one slow answer, an open one sees 20."""

        def script(number: int) -> Answer:
            if number == 11:
                stall.append(time.monotonic() + 1)
            if stall:
                time.sleep(max(0.0, stall[0] - time.monotonic()))
            return GOOD

        stall: list[float] = []
        with serving(script) as server:
            ended = self.run(server.url, tmp_path, "--rate", 20, "--seconds", 2)
        assert ended.code == 0, ended.complained
        rows = requests(tmp_path)
        assert len(rows) == 40
        assert sum(float(row["latency_ms"]) > 200 for row in rows) >= 12

    def test_who_is_refused_comes_back_when_asked_to_and_not_before(self, tmp_path: Path) -> None:
        def script(number: int) -> Answer:
            return problem(429, "overloaded", Retry_After="1") if 1 <= number <= 3 else GOOD

        with serving(script) as server:
            ended = self.run(server.url, tmp_path, "--rate", 5, "--seconds", 2, table='error_ratio = "<= 0"\n')
        assert ended.code == 0, ended.complained
        found = results(tmp_path)["figures"]["all"]
        assert (found["offered"], found["sent"], found["good"], found["refused"]) == (10, 13, 10, 3)
        rows = requests(tmp_path)
        assert Counter(row["attempt"] for row in rows) == {"1": 10, "2": 3}
        again = [float(row["due_sec"]) for row in rows if row["attempt"] == "2"]
        first = [float(row["due_sec"]) for row in rows if row["outcome"] == "refused"]
        assert all(1 <= b - a <= 2.3 for a, b in zip(sorted(first), sorted(again), strict=True))

    def test_with_a_flag_nobody_comes_back(self, tmp_path: Path) -> None:
        def script(number: int) -> Answer:
            return problem(429, "overloaded", Retry_After="1") if 1 <= number <= 3 else GOOD

        with serving(script) as server:
            ended = self.run(server.url, tmp_path, "--rate", 5, "--seconds", 2, "--no-retries")
        assert ended.code == 1
        found = results(tmp_path)["figures"]["all"]
        assert (found["offered"], found["sent"], found["good"], found["refused"]) == (10, 10, 7, 3)

    def test_a_run_that_fails_in_part_is_red_and_lists_what_went_wrong(self, tmp_path: Path) -> None:
        """Crashes, a wrong answer, a connection that breaks; a good answer before, so that the test begins."""

        def script(number: int) -> Answer:
            if number % 4 == 1:
                return problem(500, "internal-error")
            return answer(200, {"predictions": []}) if number % 4 == 2 else GOOD

        with serving(script) as server:
            ended = self.run(server.url, tmp_path, "--rate", 20, "--seconds", 1)
        assert ended.code == 1
        assert "MISSED  error ratio: 50 %, target <= 0 %" in ended.said
        errors = {error["reason"]: error["count"] for error in results(tmp_path)["errors"]}
        assert errors == {"500 internal-error": 5, "200 without predictions": 5}

    def test_times_alone_end_with_3(self, tmp_path: Path) -> None:
        """Who calls can tell them from errors: the network and this machine have a share in them."""
        with serving() as server:
            ended = self.run(server.url, tmp_path, "--rate", 60, "--seconds", 1, table=LENIENT + 'p95_ms = "< 0.1"\n')
            few = self.run(server.url, tmp_path, "--rate", 5, "--seconds", 1, table=LENIENT + 'p95_ms = "< 0.1"\n')
        assert few.code == 1, few.complained
        assert ended.code == 3, ended.complained
        assert ended.said.startswith("1 OF 4 TARGETS IS MISSED, TIMES ALONE")

    def test_clients_of_a_closed_loop_wait_for_their_answers(self, tmp_path: Path) -> None:
        def script(number: int) -> Answer:
            time.sleep(0.1)
            return GOOD

        with serving(script) as server:
            ended = self.run(server.url, tmp_path, "--closed", 3, "--seconds", 2)
        assert ended.code == 0, ended.complained
        found = results(tmp_path)["figures"]["all"]
        assert 30 <= found["good"] <= 63  # three at a time, a tenth of a second each
        assert found["p50_ms"] >= 100

    def test_tokens_go_along_and_stay_out_of_the_reports(self, tmp_path: Path) -> None:
        with serving() as server:
            file = targets(tmp_path, smoke=LENIENT)
            options = ("--mix", "small", "--rate", 5, "--seconds", 1, "--targets", file, "--output", tmp_path)
            ended = command("run", "--host", server.url, *options, LOADTEST_TOKEN="s3cret-t0ken")  # noqa: S106  # none
            assert ended.code == 0, ended.complained
            assert {headers.get("Authorization") for _, headers in server.seen} == {"Bearer s3cret-t0ken"}
        for file in tmp_path.iterdir():
            assert b"s3cret" not in file.read_bytes(), file
        assert "s3cret" not in ended.said + ended.complained

    def test_the_rated_rate_is_found_and_written(self, tmp_path: Path) -> None:
        """Of a server that serves one at a time, 20 ms each: between a few and the fifty that it can."""
        turn = threading.Lock()

        def script(number: int) -> Answer:
            with turn:
                time.sleep(0.02)
            return GOOD

        with serving(script) as server:
            file = targets(tmp_path, rate='error_ratio = "<= 0"\n[rate.small]\np50_ms = "<= 100"\n')
            options = (
                "--from",
                30,
                "--to",
                100,
                "--repeats",
                1,
                "--precision",
                0.5,
                "--step-seconds",
                1,
                "--warm-up",
                0,
            )
            arguments = (
                "--mix",
                "small",
                "--targets",
                file,
                "--output",
                tmp_path / "rate.json",
                "--arrivals",
                "constant",
            )
            ended = command("rate", "--host", server.url, *options, *arguments)
        assert ended.code == 0, ended.complained
        found = json.loads((tmp_path / "rate.json").read_text("utf-8"))
        assert 10 <= found["rated_per_sec"] <= 60
        assert found["rated_per_sec"] == min(found["repeats_per_sec"])
        assert any(not step["met"] for step in found["steps"])
        assert f"RATED {found['rated_per_sec']:g} REQUESTS A SECOND" in ended.said
        assert (tmp_path / "rate.png").read_bytes().startswith(b"\x89PNG")

    def test_a_machine_that_holds_no_rate_writes_no_file(self, tmp_path: Path) -> None:
        with serving(lambda number: problem(500, "internal-error") if number else GOOD) as server:
            file = targets(tmp_path, rate='error_ratio = "<= 0"\n')
            options = ("--from", 1, "--step-seconds", 1, "--warm-up", 0, "--mix", "small", "--targets", file)
            ended = command("rate", "--host", server.url, *options, "--output", tmp_path / "rate.json")
        assert ended.code == 1, ended.complained
        assert ended.said.startswith("NO RATE HOLDS: even 0.5 a second misses its targets.")
        assert not (tmp_path / "rate.json").exists()


class TestDistributed:
    def test_two_workers_send_together_what_one_process_would(self, server: Server, tmp_path: Path) -> None:
        url, port = f"http://127.0.0.1:{server.port}", free_port()
        file = targets(tmp_path, smoke=LENIENT)
        workers = [start("worker", "--host", url, "--port", port) for _ in range(2)]
        try:
            options = ("--rate", 20, "--seconds", 5, "--targets", file, "--output", tmp_path)
            ended = command("run", "--host", url, "--workers", 2, "--port", port, *options)
            ends = [wait(worker, 20) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
        assert ended.code == 0, ended.complained
        assert [end.code for end in ends] == [0, 0], ends
        result = results(tmp_path)
        assert result["conditions"]["generator"]["processes"] == 2
        counts = {kind: figures["good"] for kind, figures in result["figures"]["kinds"].items()}
        assert counts == {"small": 68, "phone": 12, "png": 8, "several": 8, "bad": 4}
        due = [float(row["due_sec"]) for row in requests(tmp_path)]
        assert due == pytest.approx([n / 20 for n in range(100)])

    def test_what_a_lost_worker_did_not_send_counts_as_failed(self, tmp_path: Path) -> None:
        with serving() as server:
            port = free_port()
            file = targets(tmp_path, smoke=LENIENT)
            workers = [start("worker", "--host", server.url, "--port", port) for _ in range(2)]
            try:
                options = ("--mix", "small", "--rate", 20, "--seconds", 6, "--targets", file, "--output", tmp_path)
                master = start("run", "--host", server.url, "--workers", 2, "--port", port, *options)
                while len(server.seen) < 20:
                    time.sleep(0.02)
                workers[0].kill()
                ended = wait(master)
                for worker in workers:
                    wait(worker, 20)
            finally:
                for worker in workers:
                    worker.kill()
        assert ended.code == 1, ended.complained
        found = results(tmp_path)
        assert found["figures"]["all"]["offered"] == 120
        assert found["errors"][0]["reason"] == "never answered: its worker was lost"
        assert 20 < found["errors"][0]["count"] <= 60  # no more than its share, and nothing was sent twice
        assert len(server.seen) <= 121


class TestServe:
    def test_an_interruption_stops_the_service_too_and_judges_nothing(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        """SIGINT to the whole group, as Ctrl-C in a terminal does."""
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "loadtest",
                "run",
                "--serve",
                "--scenario",
                "steady",
                "--mix",
                "small",
                "--output",
                tmp_path,
            ],
            env=environment(MODEL_DIR=digits_bundle.path),
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
        port = re.search(r'"port": (\d+)|127\.0\.0\.1:(\d+)', log.read_text())
        os.killpg(process.pid, signal.SIGINT)
        ended = wait(process, 40)
        assert ended.code == 130, ended.complained
        assert ended.said == ""
        assert "Interrupted: everything was stopped, nothing was judged." in ended.complained
        assert "Traceback" not in ended.complained
        assert {file.name for file in tmp_path.iterdir()} == {"service.log"}
        assert not children_of_group(log), port

    def test_a_service_that_does_not_start_says_why(self, tmp_path: Path) -> None:
        (tmp_path / "none").mkdir()
        ended = command("run", "--serve", "--output", tmp_path, MODEL_DIR=tmp_path / "none")
        ended.refused("The service did not start: Error:", "manifest.json is missing")


def children_of_group(log: Path) -> list[str]:
    """Return the processes that still hold the service's log open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.resolve() == log.resolve():
                found.append(str(link))
    return found


class TestBadInput:
    """One clear sentence and exit code 2, never a green run. test_access.py and test_targets.py have the rest."""

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            ([], "Give --host URL"),
            (["--host", "http://x", "--serve"], "Give --host URL"),
            (["--host", "example.com"], "is no address of a service"),
            (["--host", "http://127.0.0.1:1", "--mix", "cats"], "'cats' is no share"),
            (["--host", "http://127.0.0.1:1", "--pictures", "/no/such/folder"], "there is no such folder"),
            (["--host", "http://127.0.0.1:1", "--mix", "small"], "cannot be reached: Connection refused"),
            (["--host", "http://127.0.0.1:1", "--targets", "/no/such/file"], "/no/such/file cannot be read"),
            (["--host", "http://127.0.0.1:1", "--rate", "0"], "--rate 0: expected"),
            (["--serve", "--workers", "2"], "give --host with --workers"),
        ],
    )
    def test_it_is_named(self, arguments: list[str], part: str) -> None:
        command("run", *arguments).refused(part)

    def test_another_service_is_not_tested(self) -> None:
        with serving(version=answer(200, {"name": "something else"})) as server:
            command("run", "--host", server.url, "--mix", "small").refused("is another service")
            assert server.seen == []

    def test_a_folder_that_lacks_what_was_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encode(photo(), "PNG"))
        with serving() as server:
            ended = command("run", "--host", server.url, "--pictures", tmp_path, "--mix", "png=1,phone=1")
        ended.refused("holds no picture for phone")

    @pytest.mark.parametrize("arguments", [["nonsense"], ["run", "--scenario", "storm"], ["run", "--closed", "x"]])
    def test_wrong_usage(self, arguments: list[str]) -> None:
        ended = command(*arguments)
        assert ended.code == 2
        assert "Usage:" in ended.complained


def test_another_machine_is_only_loaded_with_consent() -> None:
    """Where nobody can answer the question, nothing is sent; the same with an answer of no. Asked after the check."""
    code = (
        "import sys\n"
        "from loadtest import run_command  # Locust first: it replaces the sockets\n"
        "from loadtest.measure import access\n"
        "access.Target.local = False\n"
        "from loadtest.__main__ import main\n"
        "sys.argv = ['loadtest', 'run', '--host', sys.argv[1], '--scenario', 'steady', '--mix', 'small']\n"
        "main()\n"
    )
    with serving() as server:
        for typed, said in (("", "Nobody is there to answer"), ("n\n", "Nothing was sent.")):
            ended = subprocess.run(
                [sys.executable, "-c", code, server.url],
                env=environment(),
                cwd=REPOSITORY,
                input=typed,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ended.returncode == 2
            assert said in ended.stderr
            assert "will get 475 requests within 95 s" in ended.stderr
        assert len(server.seen) == 2  # the check's pictures


def test_the_pure_parts_load_without_locust() -> None:
    """Locust replaces the standard library's sockets at its import: reports and the gate must not."""
    rooms = {
        "plan": "bodies, mix, pictures, scenarios",
        "measure": "access, answers, machine, percentiles, records, session",
        "judge": "metrics, rating, results, targets",
        "show": "charts, comparison, report, summary",
    }
    lines = [f"from loadtest.{room} import {names}" for room, names in rooms.items()]
    code = "\n".join(["import sys", *lines, "print('locust' in sys.modules)"])
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
