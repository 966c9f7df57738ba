"""A smoke test of a real service: its counts, its summary, its record; and saved runs compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.loadtest.runs import LENIENT, Ended, command, requests, results, targets
from tests.server import Server

pytestmark = pytest.mark.slow


@dataclass
class Smoke:
    """A run, the folder that it wrote, and the answers that the service counted meanwhile."""

    ended: Ended
    folder: Path
    counted: int


def predictions_counted(service: Server) -> int:
    text = service.request("GET", "/metrics").body.decode()
    counts = re.findall(r'classifier_requests_total\{route="/predict",status="(\d+)"\} (\d+)', text)
    return sum(int(count) for _, count in counts)


@pytest.fixture(scope="module")
def smoke(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    """A smoke test of two seconds with every kind of request."""
    folder = tmp_path_factory.mktemp("smoke")
    file = targets(folder, smoke=LENIENT)
    before = predictions_counted(service)
    url = f"http://127.0.0.1:{service.port}"
    ended = command("run", "--host", url, "--seconds", 2, "--rate", 25, "--targets", file, "--output", folder)
    return Smoke(ended, folder, predictions_counted(service) - before)


def test_a_run_that_meets_its_targets_ends_with_0(smoke: Smoke) -> None:
    assert smoke.ended.code == 0, smoke.ended.complained
    assert smoke.ended.said.startswith("ALL 3 TARGETS ARE MET   smoke: 25 requests a second for 2 s")
    assert "Traceback" not in smoke.ended.complained
    assert "Warning" not in smoke.ended.complained


def test_every_request_that_was_due_was_sent_once_and_answered_well(smoke: Smoke) -> None:
    """50 requests are two blocks of 25; the bad files are answered well with what is wrong with them."""
    figures = results(smoke.folder)["figures"]
    assert {request_kind: metrics["good"] for request_kind, metrics in figures["kinds"].items()} == {
        "small": 34,
        "phone": 6,
        "png": 4,
        "several": 4,
        "bad": 2,
    }
    everything = figures["all"]
    assert (everything["offered"], everything["sent"], everything["good"]) == (50, 50, 50)
    assert (everything["refused"], everything["failed"], everything["samples"]) == (0, 0, 48)


def test_the_record_holds_every_request_in_the_order_in_which_it_was_due(smoke: Smoke) -> None:
    rows = requests(smoke.folder)
    assert [float(row["due_sec"]) for row in rows] == pytest.approx([n / 25 for n in range(50)])
    assert {row["outcome"] for row in rows} == {"good"}
    assert {row["reason"] for row in rows if row["kind"] == "bad"} <= {
        "415 unsupported-format",
        "422 damaged-picture",
    }


def test_the_service_counted_the_same(smoke: Smoke) -> None:
    """The picture of the check before the test, and the 50 of the test."""
    assert smoke.counted == 51


def test_the_result_names_model_machine_and_conditions(smoke: Smoke) -> None:
    conditions = results(smoke.folder)["conditions"]
    assert conditions["service"]["model"]["architecture"] == "tiny"
    assert conditions["machine"]["cpus"] >= 1
    assert conditions["process"]["used_cpu_sec"] > 0
    assert conditions["generator"]["processes"] == 1


def test_the_summary_says_what_limits_it(smoke: Smoke) -> None:
    assert "both shared its processors" in smoke.ended.said


def test_percentiles_of_too_few_requests_are_not_printed(smoke: Smoke) -> None:
    (line,) = [line for line in smoke.ended.said.splitlines() if line.strip().startswith("small JPEG")]
    assert line.split()[-3:] != ["-", "-", "-"]  # the median of 34 is known
    assert line.split()[-2:] == ["-", "-"]


def test_two_runs_are_compared(smoke: Smoke, tmp_path: Path) -> None:
    picture = tmp_path / "both.png"
    ended = command("compare", smoke.folder, smoke.folder / "results.json", "--output", picture)
    assert ended.code == 0, ended.complained
    assert re.search(r"p50 of small JPEG .*\+0.0 %", ended.said)
    assert "Not under the same conditions" not in ended.said
    assert picture.read_bytes().startswith(b"\x89PNG")
    command("compare", smoke.folder, smoke.folder, "--output", picture / "x.png").refused(
        "cannot be written: Not a dir"
    )


def test_what_is_no_run_is_not_compared(smoke: Smoke, tmp_path: Path) -> None:
    command("compare", smoke.folder, tmp_path / "none").refused("none cannot be read: No such file")
    (tmp_path / "results.json").write_text("{}")
    command("compare", smoke.folder, tmp_path).refused("is no saved run of this load test")
