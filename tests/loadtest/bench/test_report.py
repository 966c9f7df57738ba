"""What a benchmark concludes and shows, from figures that are known."""

from __future__ import annotations

import copy
import io
import math
import re
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from PIL import Image

from loadtest.bench import command, report
from loadtest.bench.__main__ import bench
from loadtest.bench.contenders import OURS, OURS_FP32
from loadtest.bench.goals import check
from loadtest.bench.result import Result
from loadtest.bench.run import Schedule

ROUNDS = 3
NAMES = ("plain", OURS, OURS_FP32, "litserve int8")


def cases(value: Any) -> dict[str, Any]:
    names = [*(f"small {count}" for count in Schedule().clients), "large 1", "png 1"]
    return {name: [value] * ROUNDS for name in names}


@pytest.fixture
def result() -> Result:
    """A run that meets every goal, at its limit."""
    rates = {name: cases(rate) for name, rate in zip(NAMES, (30.0, 99.0, 60.0, 80.0), strict=True)}
    latencies = {name: cases([ms, ms * 1.2, ms * 1.5]) for name, ms in zip(NAMES, (60, 15, 20, 20), strict=True)}
    return {
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
        "rounds": ROUNDS,
        "clients": list(Schedule().clients),
        "picture_bytes": {},
        "colours": dict.fromkeys(NAMES, "#0b57d0"),
        "bundle": "models/untrained",
        "rates": {**rates, "loop int8": {"small 16": [100.0] * ROUNDS}},
        "latencies_ms": latencies,
        "models": dict.fromkeys(NAMES),
        "refused": {name: cases(0) for name in NAMES},
        "start_sec": dict.fromkeys(NAMES, 1.0),
        "memory_mb": dict.fromkeys(NAMES, 200.0),
        "overload": {
            "rated_per_sec": 70.0,
            "rated_p50_ms": 40.0,
            "rated_p99_ms": 80.0,
            "rated_goodput": 1.0,
            "offered_per_sec": 700.0,
            "goodput_to_rated": 0.95,
            "accepted_p99_ms": 120.0,
            "accepted_p99_to_rated": 1.5,
            "refused": 12000,
            "refused_p99_ms": 99.0,
            "probes_max_ms": 99.0,
            "other": {},
            "workers_kept": True,
        },
        "decoding": {"full_ms": 100.0, "scaled_ms": 20.0, "ratio": 5.0, "difference": 0.3},
    }


def missed(result: Result) -> list[str]:
    return [goal.name for goal in check(result) if not goal.met]


def test_a_run_at_its_limits_meets_every_goal(result: Result) -> None:
    assert missed(result) == []


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("rates", OURS, "small 16"), [98.0] * ROUNDS, "throughput, INT8"),
        (("rates", OURS_FP32, "small 16"), [59.0] * ROUNDS, "throughput, FP32"),
        (("rates", "loop int8", "small 16"), [105.0] * ROUNDS, "HTTP throughput against"),
        (("latencies_ms", OURS, "small 1"), [[21.0, 22.0, 23.0]] * ROUNDS, "lone p50"),
        (("latencies_ms", OURS, "large 1"), [[16.0, 22.0, 23.0]] * ROUNDS, "12-megapixel"),
        (("latencies_ms", OURS, "small 16"), [[10.0, 12.0, 15.1]] * ROUNDS, "p99 at 16 clients"),
        (("overload", "goodput_to_rated"), 0.94, "goodput at ten times"),
        (("overload", "accepted_p99_to_rated"), 1.51, "accepted p99"),
        (("overload", "refused_p99_ms"), 101.0, "refusals' p99"),
        (("overload", "probes_max_ms"), math.inf, "slowest probe"),
        (("overload", "probes_max_ms"), math.nan, "slowest probe"),
        (("overload", "other"), {"0": 1}, "requests and workers lost"),
        (("overload", "workers_kept"), False, "requests and workers lost"),
        (("start_sec", OURS), 1.01, "start to ready"),
        (("memory_mb", OURS), 201.0, "proportional memory"),
    ],
)
def test_each_goal_is_missed_by_its_own_value(path: tuple[str, ...], value: Any, name: str, result: Result) -> None:
    changed = copy.deepcopy(result)
    place = cast(dict[str, Any], changed)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (goal,) = missed(changed)
    assert goal.startswith(name)


def test_a_ratio_is_the_median_of_the_rounds_ratios(result: Result) -> None:
    """A machine that is slow for a round is slow for both sides of it."""
    result["rates"]["plain"]["small 16"] = [10.0, 30.0, 20.0]
    result["rates"][OURS]["small 16"] = [40.0, 120.0, 100.0]
    assert check(result)[0].measured == 4.0


def test_the_table_has_everyone_and_every_goal(result: Result) -> None:
    text = report.table(result)
    for name in NAMES:
        assert len(re.findall(rf"^{name} ", text, re.MULTILINE)) == 3
    assert text.count("met     ") == len(check(result))


def test_the_goals_are_a_markdown_table(result: Result) -> None:
    """As README shows them: each goal, what was measured, what was wanted, the verdict."""
    result["start_sec"][OURS] = 1.2
    lines = report.goals_table(result).splitlines()
    assert lines[:2] == ["| goal | measured | wanted | |", "|---|---|---|---|"]
    assert len(lines) == 2 + len(check(result))
    assert lines[2] == "| throughput, INT8, 16 clients, against the plain service | 3.3 times | >= 3.3 | met |"
    assert "| start to ready, INT8 | 1.2 s | <= 1 | MISSED |" in lines
    assert all(line.count("|") == 5 for line in lines)


def test_the_goals_of_a_saved_benchmark_are_printed(result: Result, tmp_path: Path) -> None:
    command.save(result, tmp_path)
    printed = CliRunner().invoke(bench, ["--goals", str(tmp_path / "bench.json")])
    assert (printed.exit_code, printed.output) == (0, report.goals_table(result) + "\n")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"rates": 3}'])
def test_what_is_no_saved_benchmark_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text)
    printed = CliRunner().invoke(bench, ["--goals", str(file)])
    assert printed.exit_code == 2
    assert "bench.json is no saved benchmark." in " ".join(printed.output.split())


def test_the_page_asks_no_other_host_and_escapes_what_it_shows(result: Result) -> None:
    page = report.page(result)
    assert "A &lt;processor&gt;" in page
    assert re.findall(r"(?:src|href)='(?!data:)", page) == []
    assert "://" not in page


def test_the_plot_is_a_picture(result: Result) -> None:
    picture = Image.open(io.BytesIO(report.plot(result)))
    assert picture.format == "PNG"
    assert picture.width > 1000
