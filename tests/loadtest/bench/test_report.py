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
from loadtest.bench.result import FIGURES, Measured, Result
from loadtest.bench.run import Schedule
from loadtest.errors import LoadTestError
from loadtest.measure.verdicts import Goal
from tests.conftest import REPOSITORY

ROUNDS = 3
# Good answers a second and the lone p50 in milliseconds of a run that meets every goal, at its limit.
CONTENDERS = {
    OURS: (99.0, 15.0),
    OURS_FP32: (60.0, 20.0),
    LITE0: (160.0, 10.5),
    "mosec int8": (80.0, 20.0),
    PLAIN: (30.0, 60.0),
}
CASES = [*(f"small {count}" for count in Schedule().clients), "large 1", "png 1"]


def measured(per_sec: float, ms: float, cases: list[str]) -> Measured:
    values = (per_sec, ms, ms * 1.2, ms * 1.5, 0.0)
    return {
        "colour": "#0b57d0",
        "start_sec": 1.0,
        "memory_mb": 200.0,
        "model": None,
        "cases": {
            case: {name: [value] * ROUNDS for name, value in zip(FIGURES, values, strict=True)} for case in cases
        },
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
            **{name: measured(*figures, CASES) for name, figures in CONTENDERS.items()},
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


RATE, LONE, OVER = ("cases", "small 16", "per_sec"), ("cases", "small 1", "p50_ms"), "overload"


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("measured", OURS, *RATE), [98.0] * ROUNDS, "throughput, INT8"),
        (("measured", OURS_FP32, *RATE), [59.0] * ROUNDS, "throughput, FP32"),
        (("measured", LITE0, *RATE), [157.0] * ROUNDS, "throughput, lite0"),
        (("measured", LOOP, *RATE), [106.0] * ROUNDS, "HTTP throughput against"),
        (("measured", PLAIN, *LONE), [44.0] * ROUNDS, "lone p50, INT8"),
        (("measured", LITE0, *LONE), [10.6] * ROUNDS, "lone p50, lite0"),
        (("measured", OURS, "cases", "large 1", "p50_ms"), [16.0] * ROUNDS, "12-megapixel"),
        (("measured", OURS, "cases", "small 16", "p99_ms"), [23.0] * ROUNDS, "p99 at 16 clients"),
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
    result["measured"][PLAIN]["cases"]["small 16"]["per_sec"] = [10.0, 30.0, 20.0]
    result["measured"][OURS]["cases"]["small 16"]["per_sec"] = [40.0, 120.0, 100.0]
    assert check(result)[0].measured == 4.0


def test_what_is_printed_is_what_was_tested(result: Result) -> None:
    """A figure is rounded before it is judged: 0.9496 would be printed as 0.95, and missed."""
    result["overload"]["goodput_to_rated"] = 0.9496
    assert missed(result) == []


def test_the_table_has_everyone_and_every_goal(result: Result) -> None:
    text = report.table(result)
    for name in (*CONTENDERS, LOOP):
        assert len(re.findall(rf"^{name} ", text, re.MULTILINE)) == 1
    assert len(re.findall("^met ", text, re.MULTILINE)) == len(GOALS)


def test_documents_quote_every_contender_and_every_goal_with_its_verdict(result: Result, tmp_path: Path) -> None:
    result["measured"][OURS]["start_sec"] = 1.2
    result["goals"] = [verdict.to_dict() for verdict in check(result)]
    saved, document = tmp_path / "reports", tmp_path / "README.md"
    (tmp_path / "docs").mkdir()
    report.save(result, saved)
    names = "\n".join(f"| 目标 {number} | 旧 | 旧 | 旧 |" for number in range(len(GOALS)))
    parts = {"all": "old", "goals": "old", "目标": f"| 目标 | | | |\n|---|---|---|---|\n{names}"}
    marked = "<!-- make bench {0}: begin -->\n{1}\n<!-- make bench {0}: end -->\nbetween\n"
    document.write_text("".join(marked.format(*part) for part in parts.items()))
    assert report.publish(saved, tmp_path) == [document]
    text = document.read_text()
    assert text.count("between") == len(parts)
    assert text.startswith(marked.format("all", report.markdown(result)))
    assert marked.format("goals", report.markdown_goals(result)) in text
    assert "| 目标 0 | 3.3 倍 | >= 3.3 倍 | 达到 |" in text
    assert "未达到 |" in text
    assert "旧" not in text
    document.write_text(text.replace("| 目标 1 |", "目标 1"))
    with pytest.raises(LoadTestError, match="a row for each goal"):
        report.publish(saved, tmp_path)
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


@pytest.mark.parametrize("document", ["README.md", "README.zh-CN.md", "docs/speed.md"])
def test_the_documents_have_a_row_for_each_goal(document: str) -> None:
    """With the name in English, what is wanted and a verdict; the next run's figures then have their places."""
    text = (REPOSITORY / document).read_text("utf-8").replace(" 倍", " times")
    rows = re.findall(r"^\| ([^|]*) \| [^|]* \| ([<>]= [^|]*) \| (met|MISSED|达到|未达到) \|$", text, re.MULTILINE)
    goals = [(name, Goal(name, sign, limit, unit).condition) for name, sign, limit, unit, _ in GOALS]
    assert [wanted for _, wanted, _ in rows] == [wanted for _, wanted in goals]
    assert document.endswith("zh-CN.md") or [name for name, *_ in rows] == [name for name, _ in goals]


def test_the_documents_say_what_the_file_that_they_quote_says() -> None:
    """docs/bench.json is a run on a quiet machine; `python -m loadtest.bench --publish` writes what quotes it."""
    result = json.loads((REPOSITORY / "docs" / report.JSON).read_text("utf-8"))
    for path in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")):
        text = path.read_text("utf-8")
        assert report.quote(text, result) == text, f"{path.name}: python -m loadtest.bench --publish"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"measured": 3}'])
def test_what_is_no_saved_benchmark_is_named_and_nothing_is_written(text: str, tmp_path: Path) -> None:
    (tmp_path / report.JSON).write_text(text)
    before = {path: path.stat().st_mtime_ns for path in (REPOSITORY / "docs").iterdir()}
    printed = CliRunner().invoke(bench, ["--publish", "--output", str(tmp_path)])
    assert printed.exit_code == 3
    assert "is no saved benchmark" in " ".join(printed.output.split())
    assert {path: path.stat().st_mtime_ns for path in (REPOSITORY / "docs").iterdir()} == before
