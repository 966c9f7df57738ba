"""What a benchmark concludes and shows, from figures that are known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from PIL import Image

from loadtest.bench import report
from loadtest.bench.__main__ import bench
from loadtest.bench.contenders import LITE0, OURS, OURS_FP32, PLAIN
from loadtest.bench.goals import GOALS, LOOP, check
from loadtest.bench.result import Measured, Result
from loadtest.bench.run import Schedule
from tests.conftest import REPOSITORY

ROUNDS = 3
# Good answers a second and the lone p50 in milliseconds of a run that meets every goal, at its limit.
FIGURES = {
    OURS: (99.0, 15.0),
    OURS_FP32: (60.0, 20.0),
    LITE0: (160.0, 10.5),
    "mosec int8": (80.0, 20.0),
    PLAIN: (30.0, 60.0),
}
CASES = [*(f"small {count}" for count in Schedule().clients), "large 1", "png 1"]


def measured(per_sec: float, ms: float, cases: list[str]) -> Measured:
    return {
        "colour": "#0b57d0",
        "start_sec": 1.0,
        "memory_mb": 200.0,
        "model": None,
        "rates": {case: [per_sec] * ROUNDS for case in cases},
        "ms": {case: [[ms, ms * 1.2, ms * 1.5]] * ROUNDS for case in cases},
        "others": {case: [0] * ROUNDS for case in cases},
    }


@pytest.fixture
def result() -> Result:
    """A run that meets every goal, at its limit."""
    made: Result = {
        "when": "2026-01-02T03:04:05+00:00",
        "machine": {
            "processor": "A <processor>",
            "flags": [],
            "cpus": 2,
            "memory_gb": 8.0,
            "system": "Linux",
            "python": "3.11",
            "commit": "abc",
        },
        "packages": {},
        "bundle": "models/untrained",
        "rounds": ROUNDS,
        "clients": list(Schedule().clients),
        "picture_bytes": {},
        "measured": {
            **{name: measured(*figures, CASES) for name, figures in FIGURES.items()},
            LOOP: measured(100.0, 9.0, ["small 16"]),
        },
        "overload": {
            "rated_per_sec": 70.0,
            "rated_p99_ms": 80.0,
            "offered_per_sec": 700.0,
            "goodput_to_rated": 0.95,
            "accepted_p99_ms": 120.0,
            "refused": 12000,
            "refused_p99_ms": 99.0,
            "probes_max_ms": 99.0,
            "lost": {},
            "workers_kept": True,
        },
        "decoding": {"full_ms": 100.0, "scaled_ms": 20.0, "ratio": 5.0, "difference": 0.3},
        "goals": [],
    }
    made["goals"] = [verdict.to_dict() for verdict in check(made)]
    return made


def missed(result: Result) -> list[str]:
    return [verdict.goal.name for verdict in check(result) if not verdict.met]


def test_a_run_at_its_limits_meets_every_goal(result: Result) -> None:
    assert missed(result) == []


RATES, MS, OVER = ("rates", "small 16"), ("ms", "small 1"), "overload"


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("measured", OURS, *RATES), [98.0] * ROUNDS, "throughput, INT8"),
        (("measured", OURS_FP32, *RATES), [59.0] * ROUNDS, "throughput, FP32"),
        (("measured", LITE0, *RATES), [157.0] * ROUNDS, "throughput, lite0"),
        (("measured", LOOP, *RATES), [106.0] * ROUNDS, "HTTP throughput against"),
        (("measured", PLAIN, *MS), [[44.0, 45.0, 46.0]] * ROUNDS, "lone p50, INT8"),
        (("measured", LITE0, *MS), [[10.6, 11.0, 12.0]] * ROUNDS, "lone p50, lite0"),
        (("measured", OURS, "ms", "large 1"), [[16.0, 22.0, 23.0]] * ROUNDS, "12-megapixel"),
        (("measured", OURS, "ms", "small 16"), [[10.0, 12.0, 15.1]] * ROUNDS, "p99 at 16 clients"),
        ((OVER, "goodput_to_rated"), 0.94, "goodput at ten times"),
        ((OVER, "accepted_p99_ms"), 121.0, "accepted p99"),
        ((OVER, "refused_p99_ms"), 101.0, "refusals' p99"),
        ((OVER, "probes_max_ms"), 30_000.0, "slowest probe"),
        ((OVER, "probes_max_ms"), None, "slowest probe"),
        ((OVER, "lost"), {"0": 1}, "requests and workers lost"),
        ((OVER, "workers_kept"), False, "requests and workers lost"),
        (("measured", OURS, "start_sec"), 1.01, "start to ready, INT8"),
        (("measured", OURS, "memory_mb"), 201.0, "proportional memory, INT8"),
        (("measured", LITE0, "start_sec"), 1.01, "start to ready, lite0"),
        (("measured", LITE0, "memory_mb"), None, "proportional memory, lite0"),
    ],
)
def test_each_goal_is_missed_by_its_own_value(path: tuple[str, ...], value: Any, name: str, result: Result) -> None:
    place = cast(dict[str, Any], result)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (goal,) = missed(result)
    assert goal.startswith(name)


def test_what_did_not_take_part_meets_no_goal_and_the_others_are_judged(result: Result) -> None:
    del result["measured"][LITE0]
    verdicts = [verdict for verdict in check(result) if not verdict.met]
    assert [str(verdict).rpartition(" (")[2] for verdict in verdicts] == [f"{LITE0} was not measured)"] * 4


def test_a_ratio_is_the_median_of_the_rounds_ratios(result: Result) -> None:
    """A machine that is slow for a round is slow for both sides of it."""
    result["measured"][PLAIN]["rates"]["small 16"] = [10.0, 30.0, 20.0]
    result["measured"][OURS]["rates"]["small 16"] = [40.0, 120.0, 100.0]
    assert check(result)[0].measured == 4.0


def test_what_is_printed_is_what_was_tested(result: Result) -> None:
    """A figure is rounded before it is judged: 0.9496 would be printed as 0.95, and missed."""
    result["overload"]["goodput_to_rated"] = 0.9496
    assert missed(result) == []


def test_the_table_has_everyone_and_every_goal(result: Result) -> None:
    text = report.table(result)
    for name in (*FIGURES, LOOP):
        assert len(re.findall(rf"^{name} ", text, re.MULTILINE)) == 1
    assert len(re.findall("^met ", text, re.MULTILINE)) == len(GOALS)


def test_documents_quote_every_contender_and_every_goal_with_its_verdict(result: Result, tmp_path: Path) -> None:
    result["measured"][OURS]["start_sec"] = 1.2
    result["goals"] = [verdict.to_dict() for verdict in check(result)]
    saved, document = tmp_path / "reports", tmp_path / "README.md"
    (tmp_path / "docs").mkdir()
    report.save(result, saved)
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert report.publish(saved, tmp_path) == [document]
    text = document.read_text()
    assert text == f"before\n{report.BEGIN}\n{report.markdown(result)}\n{report.END}\nafter\n"
    for row in (
        "| **this service**, INT8 | 15.0 ms | 15 ms | 99/s | 22 ms | 200 MB | 1.20 s |",
        "| throughput, INT8, 16 clients, against the plain service | 3.3 times | >= 3.3 times | met |",
        "| start to ready, INT8 | 1.2 s | <= 1 s | MISSED |",
    ):
        assert row in text.splitlines()
    assert LOOP not in text
    assert all(line.count("|") in (5, 8) for line in text.splitlines() if line.startswith("|"))
    assert {file.name for file in (tmp_path / "docs").iterdir()} == {report.JSON, report.PNG}
    with Image.open(tmp_path / "docs" / report.PNG) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
    page = (saved / report.HTML).read_text()
    assert "A &lt;processor&gt;" in page
    assert re.findall(r"(?:src|href)='(?!data:)", page) == []
    assert "://" not in page


def test_the_documents_say_what_the_file_that_they_quote_says() -> None:
    """docs/bench.json is a run on a quiet machine; `python -m loadtest.bench --publish` writes what quotes it."""
    file = REPOSITORY / "docs" / report.JSON
    if not file.exists():
        pytest.skip("docs/bench.json is not there yet: make bench, then python -m loadtest.bench --publish")
    quoted = f"{report.BEGIN}\n{report.markdown(json.loads(file.read_text('utf-8')))}\n{report.END}"
    documents = [path.read_text("utf-8") for path in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"))]
    assert sum(quoted in text for text in documents) == sum(report.BEGIN in text for text in documents) >= 1


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"measured": 3}'])
def test_what_is_no_saved_benchmark_is_named_and_nothing_is_written(text: str, tmp_path: Path) -> None:
    (tmp_path / report.JSON).write_text(text)
    before = {path: path.stat().st_mtime_ns for path in (REPOSITORY / "docs").iterdir()}
    printed = CliRunner().invoke(bench, ["--publish", "--output", str(tmp_path)])
    assert printed.exit_code == 3
    assert "is no saved benchmark" in " ".join(printed.output.split())
    assert {path: path.stat().st_mtime_ns for path in (REPOSITORY / "docs").iterdir()} == before
