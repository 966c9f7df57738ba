"""Two sides: noise is called noise and a change a change, as often as 95 % says; one run a side asks for pairs."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loadtest.errors import LoadTestError
from loadtest.judge import saved
from loadtest.judge.compared import Difference, compare
from loadtest.judge.saved import Requests, SavedRun
from loadtest.show import comparison
from tests.loadtest.show.test_report import CONDITIONS, made

P95 = "p95 of small JPEG"


def run(
    seed: int, count: int = 450, slower: float = 1.0, failed: int = 0, when: str = "2026", **others: Any
) -> SavedRun:
    """Return a run of 90 s whose latencies depend on those just before, as in a queue (autoregressive, 0.7)."""
    rng = np.random.default_rng(seed)
    waves = np.empty(count)
    waves[0] = rng.normal()
    for number, noise in enumerate(rng.normal(size=count - 1), 1):
        waves[number] = 0.7 * waves[number - 1] + np.sqrt(1 - 0.7**2) * noise
    outcome = np.where(np.arange(count) < failed, "failed", "good")
    phases = [
        {"name": "warm-up", "seconds": 5.0, "measured": False, "per_sec": 5, "clients": 0},
        {"name": "steady", "seconds": 90.0, "measured": True, "per_sec": 5, "clients": 0},
    ]
    result: Any = {
        "scenario": {"name": "steady", "phases": phases, "spacing": "constant"},
        "mix": {"small": 1},
        "main_kind": "small",
        "conditions": {**dataclasses.asdict(CONDITIONS), "when": when},
        **others,
    }
    columns = (5 + np.arange(count) * 90 / count, slower * 15 * np.exp(0.25 * waves), np.ones(count, np.int64))
    names = (np.full(count, "steady"), np.full(count, "small"), outcome)
    return SavedRun(result, Requests(*columns, *names))


def found(a: list[SavedRun], b: list[SavedRun], name: str = P95) -> Difference:
    return next(item for item in compare(a, b) if item.name == name)


@pytest.mark.parametrize("runs", [1, 4])
def test_noise_is_called_a_difference_in_one_of_twenty_cases(runs: int) -> None:
    """Of the same distribution, with requests that depend on one another: known limits hold nothing in 0 to 15 %."""
    verdicts = []
    for seed in range(0, 60 * runs, 2 * runs):
        a, b = ([run(seed + 2 * n + side) for n in range(runs)] for side in (0, 1))
        verdicts.append(found(a, b).verdict)
    assert verdicts.count("within noise") / len(verdicts) >= 0.85


@pytest.mark.parametrize("runs", [1, 4])
def test_a_change_beyond_noise_is_found_with_its_size(runs: int) -> None:
    a, b = ([run(10 * n + side, slower=1 + side / 2) for n in range(runs)] for side in (0, 1))
    item = found(a, b, "p50 of small JPEG")
    assert item.verdict == "worse"
    assert item.change == pytest.approx(0.5, abs=0.15)
    assert item.limits
    assert 0.25 < item.limits[0] < item.change < item.limits[1] < 0.75
    assert len(item.pairs) == runs
    assert found(b, a).verdict == "better"
    assert found(a, b, "goodput a second").verdict == "within noise"


def test_failures_are_compared_as_shares() -> None:
    a, b = run(1), run(2, failed=90)
    errors = found([a], [b], "error ratio")
    assert errors.values == (0.0, 0.2)
    assert errors.change == pytest.approx(0.2)
    assert errors.verdict == "worse"
    assert found([a], [b], "goodput ratio").verdict == "worse"


def test_what_changes_between_runs_counts_only_with_several_of_them() -> None:
    """Each start of this machine is as fast as it likes: one run is steady, and every pair says otherwise."""
    pace = {"one": (1.0, 1.3, 0.9), "other": (1.3, 0.9, 1.0)}
    a, b = ([run(n, slower=value) for n, value in enumerate(values, len(side))] for side, values in pace.items())
    assert found(a[:1], b[:1]).verdict == "worse"
    assert found(a, b).verdict == "within noise"


def test_too_short_a_run_knows_no_interval() -> None:
    short = run(1)
    short.result["scenario"]["phases"][1]["seconds"] = 10.0
    assert found([short], [short]).verdict == "not known"


def test_a_percentile_of_too_few_requests_is_not_compared() -> None:
    names = [item.name for item in compare([run(1, 290)], [run(2)])]
    assert P95 in names
    assert "p99 of small JPEG" not in names


def test_a_task_of_ones_own_is_compared_too() -> None:
    a, b = run(1), run(2)
    for side in (a, b):
        side.requests.kind[:200] = "login"
    assert "p95 of login" in [item.name for item in compare([a], [b])]


def test_as_many_runs_on_each_side() -> None:
    with pytest.raises(LoadTestError, match="A has 2 runs and B has 1"):
        compare([run(1), run(2)], [run(3)])


class TestWhatPeopleSee:
    def text(self, a: list[SavedRun], b: list[SavedRun]) -> str:
        return " ".join(comparison.table(a, b, compare(a, b), ("before", "after")).split())

    def test_one_run_a_side_asks_for_alternating_pairs(self) -> None:
        text = self.text([run(1)], [run(2, slower=1.5)])
        assert "p95 of small JPEG" in text
        assert text.count("worse") == 3
        assert "One run a side:" in text
        assert "make pairs in alternation, A B A B A B" in text

    @pytest.mark.parametrize(("order", "said"), [("ABAB", False), ("ABBA", False), ("AABB", True)])
    def test_runs_that_did_not_take_turns_are_named(self, order: str, said: bool) -> None:
        sides: dict[str, list[SavedRun]] = {"A": [], "B": []}
        for number, side in enumerate(order):
            sides[side].append(run(number, when=f"2026-01-0{number + 1}"))
        text = self.text(sides["A"], sides["B"])
        assert ("did not take turns" in text) is said
        assert "One run a side" not in text
        assert "make five" in text

    def test_other_conditions_are_listed(self) -> None:
        other = run(2, mix={"small": 3, "bad": 1}, interrupted=True)
        text = self.text([run(1)], [other])
        assert "Not under the same conditions: mix: 100 % small | 75 % small, 25 % bad" in text
        assert "ended before its time: False | True" in text
        assert "Not under" not in self.text([run(1)], [run(2)])

    def test_both_sides_are_drawn(self) -> None:
        a, b = [run(1), run(3)], [run(2), run(4)]
        with Image.open(io.BytesIO(comparison.plot(a, b, compare(a, b), ("before", "after")))) as picture:
            assert picture.format == "PNG"
            assert picture.width > 1000


class TestFolders:
    @pytest.fixture
    def sides(self, tmp_path: Path) -> tuple[Path, Path]:
        """Two folders of two runs each, as `--output before/1` and so on leave them."""
        whole = made("steady")
        for number, name in enumerate(("before/1", "after/1", "before/2", "after/2")):
            one = copy.deepcopy(whole)
            one.result["conditions"]["when"] = f"2026-01-0{number + 1}"
            saved.save(one, tmp_path / name)
        return tmp_path / "before", tmp_path / "after"

    def test_a_run_or_a_folder_of_runs_is_a_side(self, sides: tuple[Path, Path], tmp_path: Path) -> None:
        picture = tmp_path / "both.png"
        text = comparison.command(*sides, picture)
        assert "2 runs, steady" in text
        assert "worse" not in text
        assert "better" not in text
        assert str(picture) in text
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert "One run a side" in comparison.command(sides[0] / "1", sides[1] / "2" / saved.JSON, None)

    def test_every_request_of_the_measured_phases_is_read(self, sides: tuple[Path, Path]) -> None:
        one = saved.load_side(sides[0])[0]
        kinds = one.result["figures"]["kinds"]
        assert len(one.requests.kind) == sum(metrics["sent"] for metrics in kinds.values())
        small = np.sort(one.requests.latency_ms[(one.requests.kind == "small") & (one.requests.outcome == "good")])
        assert round(float(small.max()), 1) == kinds["small"]["max_ms"]

    @pytest.mark.parametrize(
        ("file", "content", "part"),
        [
            ("before/1/requests.csv.gz", None, "requests.csv.gz cannot be read: No such file"),
            ("before/1/requests.csv.gz", b"plain text", "requests.csv.gz cannot be read: Not a gzipped file"),
            (
                "before/1/requests.csv.gz",
                gzip.compress(b"kind\nsmall\n", mtime=0),
                "does not hold the requests of a load test",
            ),
            ("before/1/results.json", b"{}", "is no saved run of this load test"),
        ],
    )
    def test_what_is_missing_or_broken_is_named(
        self, file: str, content: bytes | None, part: str, sides: tuple[Path, Path], tmp_path: Path
    ) -> None:
        (tmp_path / file).unlink()
        if content is not None:
            (tmp_path / file).write_bytes(content)
        with pytest.raises(LoadTestError, match=part):
            comparison.command(*sides, None)

    def test_a_folder_without_runs_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(LoadTestError, match="holds no run: neither"):
            saved.load_side(tmp_path)
