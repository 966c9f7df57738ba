"""Runs against a server that misbehaves on command: what each misbehaviour is counted as.

Locust looks once a second whether a run is over: one of 0.8 s ends after one, one of a whole second often after two.
"""

from __future__ import annotations

import csv
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.loadtest.runs import LENIENT, Ended, command, requests, results, targets
from tests.loadtest.scripted import GOOD, Answer, answer, problem, serving

pytestmark = pytest.mark.slow


def run(url: str, folder: Path, *load: object, table: str = LENIENT, **settings: object) -> Ended:
    file = targets(folder, steady=table)
    always = (
        "--scenario",
        "steady",
        "--warm-up",
        0,
        "--mix",
        "small",
        "--targets",
        file,
        "--output",
        folder,
        "--no-charts",
    )
    return command("run", "--host", url, *always, *load, **settings)


def test_a_stall_is_charged_for_everyone_who_waited(tmp_path: Path) -> None:
    """One second of standstill at 20 a second: a closed loop would see one slow answer, an open one sees 20."""

    def script(number: int) -> Answer:
        if number == 11:
            stall.append(time.monotonic() + 1)
        if stall:
            time.sleep(max(0.0, stall[0] - time.monotonic()))
        return GOOD

    stall: list[float] = []
    with serving(script) as server:
        ended = run(server.url, tmp_path, "--rate", 20, "--seconds", 2, "--csv", tmp_path / "own")
    assert ended.code == 0, ended.complained
    rows = requests(tmp_path)
    assert len(rows) == 40
    assert sum(float(row["latency_ms"]) > 200 for row in rows) >= 12
    with (tmp_path / "own_stats.csv").open(newline="") as file:
        assert float(next(csv.DictReader(file))["75%"]) > 200  # Locust's own statistics


def test_who_is_refused_comes_back_when_asked_to_and_not_before(tmp_path: Path) -> None:
    def script(number: int) -> Answer:
        return problem(429, "overloaded", Retry_After="1") if 1 <= number <= 3 else GOOD

    with serving(script) as server:
        ended = run(server.url, tmp_path, "--rate", 12.5, "--seconds", 0.8, table='error_ratio = "<= 0"\n')
    assert ended.code == 0, ended.complained
    everything = results(tmp_path)["figures"]["all"]
    assert (everything["offered"], everything["sent"]) == (10, 13)
    assert (everything["good"], everything["refused"]) == (10, 3)
    rows = requests(tmp_path)
    assert Counter(row["attempt"] for row in rows) == {"1": 10, "2": 3}
    again = [float(row["due_sec"]) for row in rows if row["attempt"] == "2"]
    first = [float(row["due_sec"]) for row in rows if row["outcome"] == "refused"]
    assert all(1 <= b - a <= 2.3 for a, b in zip(sorted(first), sorted(again), strict=True))


def test_a_run_that_fails_in_part_is_red_and_lists_what_went_wrong(tmp_path: Path) -> None:
    """Crashes and a wrong answer; a good answer before, so that the test begins."""

    def script(number: int) -> Answer:
        if number % 4 == 1:
            return problem(500, "internal-error")
        return answer(200, {"predictions": []}) if number % 4 == 2 else GOOD

    with serving(script) as server:
        ended = run(server.url, tmp_path, "--rate", 25, "--seconds", 0.8)
    assert ended.code == 1
    assert "MISSED  error ratio: 50 %, target <= 0 %" in ended.said
    errors = {error["reason"]: error["count"] for error in results(tmp_path)["errors"]}
    assert errors == {"500 internal-error": 5, "200 without predictions": 5}


def test_times_alone_end_with_3(tmp_path: Path) -> None:
    """Who calls can tell them from errors: the network and this machine have a share in them."""
    with serving() as server:
        ended = run(server.url, tmp_path, "--rate", 75, "--seconds", 0.8, table=LENIENT + 'p95_ms = "< 0.1"\n')
    assert ended.code == 3, ended.complained
    assert ended.said.startswith("1 OF 4 TARGETS IS MISSED, TIMES ALONE")


def test_times_that_are_not_known_end_with_1_and_tokens_stay_out_of_the_reports(tmp_path: Path) -> None:
    """Five answers do not know a p95. The token goes to the service and nowhere else."""
    with serving() as server:
        table = LENIENT + 'p95_ms = "< 0.1"\n'
        ended = run(server.url, tmp_path, "--rate", 6.25, "--seconds", 0.8, table=table, LOADTEST_TOKEN="s3cret-t0ken")  # noqa: S106
        assert {headers.get("Authorization") for _, headers in server.seen} == {"Bearer s3cret-t0ken"}
    assert ended.code == 1, ended.complained
    assert ended.said.startswith("1 OF 4 TARGETS IS MISSED")
    for file in tmp_path.iterdir():
        assert b"s3cret" not in file.read_bytes(), file
    assert "s3cret" not in ended.said + ended.complained


def test_clients_of_a_closed_loop_wait_for_their_answers(tmp_path: Path) -> None:
    def script(number: int) -> Answer:
        time.sleep(0.1)
        return GOOD

    with serving(script) as server:
        ended = run(server.url, tmp_path, "--closed", 3, "--seconds", 0.9)
    assert ended.code == 0, ended.complained
    everything = results(tmp_path)["figures"]["all"]
    assert 12 <= everything["good"] <= 30  # three at a time, a tenth of a second each
    assert everything["p50_ms"] >= 100
