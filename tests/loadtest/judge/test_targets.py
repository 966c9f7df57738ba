"""The gate: every breach is reported, what is printed is what was tested, nothing unknown passes, no typo passes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast
from xml.etree import ElementTree as ET

import pytest

from loadtest.errors import LoadTestError
from loadtest.judge import results, saved, targets
from loadtest.judge.document import RunDocument
from loadtest.judge.targets import Target, Verdict
from loadtest.measure.records import Records
from loadtest.plan.scenarios import NAMES, PHASE_NAMES
from tests.loadtest.judge.test_metrics import FAILED, GOOD, REFUSED, SCENARIO, records_of

STEADY = targets.choose(targets.DEFAULT_FILE, "steady")
NUMBER = re.compile(r"[\d.]+")


def judge(records: Records, wanted: list[Target] = STEADY) -> list[Verdict]:
    return results.judge(records, SCENARIO, wanted)


def missed(records: Records, wanted: list[Target] = STEADY) -> dict[str, str]:
    return {verdict.target.name: str(verdict) for verdict in judge(records, wanted) if not verdict.met}


def test_the_defaults_are_those_of_the_source_documents() -> None:
    conditions = {(target.request_kind, target.metric): target.condition for target in STEADY}
    assert conditions["small", "p50_ms"] == "<= 38 ms"
    assert conditions["small", "p95_ms"] == "< 50 ms"


def test_every_scenario_has_targets_and_every_phase_name_exists() -> None:
    by_scenario = targets.read(targets.DEFAULT_FILE)
    assert set(by_scenario) == {*NAMES, "rate"}
    for scenario, wanted in by_scenario.items():
        assert {target.phase for target in wanted} - {None} <= set(PHASE_NAMES.get(scenario, ()))


def test_a_good_run_meets_them() -> None:
    assert missed(records_of(*[("small", 1, 30, GOOD)] * 300)) == {}


def test_every_breach_is_reported_with_limit_and_measured_value() -> None:
    slow = [("small", 1, 39.5, GOOD)] * 290 + [("small", 1, 1234.5, GOOD)] * 20
    sentences = missed(records_of(*slow, *[("small", 1, 1, FAILED)] * 5, *[("small", 1, 1, REFUSED)] * 5))
    assert sentences == {
        "error ratio": "error ratio: 1.57 %, target <= 0.1 %",
        "refused ratio": "refused ratio: 1.57 %, target <= 0.1 %",
        "goodput ratio": "goodput ratio: 96.87 %, target >= 99 %",
        "p50 of small JPEG": "p50 of small JPEG: 39.5 ms, target <= 38 ms",
        "p95 of small JPEG": "p95 of small JPEG: 1234.5 ms, target < 50 ms",
        "p99 of small JPEG": "p99 of small JPEG: 1234.5 ms, target < 100 ms",
    }


@pytest.mark.parametrize(("latency_ms", "met"), [(49.94, True), (49.96, False), (50.0, False), (50.04, False)])
def test_the_printed_number_is_the_number_tested(latency_ms: float, met: bool) -> None:
    """49.96 ms is printed as 50 ms, and 50 is not below 50: nobody reads "50 ms, target < 50 ms, met"."""
    wanted = [Target("p95_ms", "<", 50, request_kind="small")]
    (verdict,) = judge(records_of(*[("small", 1, latency_ms, GOOD)] * 100), wanted)
    assert verdict.met is met
    measured, limit = map(float, NUMBER.findall(str(verdict).split(":")[1]))
    assert (measured < limit) is met


@pytest.mark.parametrize(("part", "met"), [(1, False), (0, True)])
def test_no_failure_is_rounded_away(part: int, met: bool) -> None:
    wanted = [Target("error_ratio", "<=", 0.0)]
    records = records_of(*[("small", 1, 10, GOOD)] * 50_000, *[("small", 1, 10, FAILED)] * part)
    assert judge(records, wanted)[0].met is met


def test_an_empty_run_misses_everything_and_says_why() -> None:
    sentences = missed(Records())
    assert len(sentences) == len(STEADY)
    assert all("no request of this sort was sent" in text for text in sentences.values())


def test_too_few_samples_are_a_miss_that_says_so() -> None:
    sentences = missed(records_of(*[("small", 1, 10, GOOD)] * 298))
    assert sentences == {
        "p99 of small JPEG": "p99 of small JPEG: 10 ms, target < 100 ms "
        "(298 classified pictures are too few to know it: it takes 299)"
    }


def test_a_run_in_which_most_failed_does_not_pass_by_the_rest() -> None:
    sentences = missed(records_of(*[("small", 1, 10, GOOD)] * 300, *[("small", 1, 10, FAILED)] * 900))
    assert sentences["error ratio"] == "error ratio: 75 %, target <= 0.1 %"


def test_a_run_without_the_kind_of_a_target_misses_it() -> None:
    assert "no request of this sort" in missed(records_of(*[("png", 1, 10, GOOD)] * 400))["p50 of small JPEG"]


def test_a_phase_is_judged_on_its_own() -> None:
    wanted = [Target("p50_ms", "<=", 20, phase="warm-up"), Target("p50_ms", "<=", 20, phase="steady")]
    records = records_of(*[("small", 0, 50, GOOD)] * 9, *[("small", 1, 10, GOOD)] * 9)
    assert [verdict.met for verdict in judge(records, wanted)] == [False, True]
    assert str(judge(records, wanted)[0]) == "p50, in warm-up: 50 ms, target <= 20 ms"


def test_a_knee_that_is_not_there_is_a_miss() -> None:
    wanted = [Target("knee_per_sec", ">=", 20)]
    records = records_of(("small", 1, 10, GOOD))
    assert not results.judge(records, SCENARIO, wanted, None)[0].met
    assert results.judge(records, SCENARIO, wanted, 20.0)[0].met


# So many good answers of so many milliseconds, and five of what else: are times alone missed?
ALONE = {
    "nothing": (300, 30.0, None, False),
    "a time": (300, 40.0, None, True),
    "every time": (300, 400.0, None, True),
    "a time, and failures": (300, 40.0, FAILED, False),
    "a time, and refusals": (300, 40.0, REFUSED, False),
    "failures": (300, 30.0, FAILED, False),
    "a time, and one that is not known": (100, 40.0, None, False),
    "times that are not known": (3, 1.0, None, False),
}


@pytest.mark.parametrize("case", ALONE)
def test_times_alone_are_told_from_everything_else(case: str) -> None:
    """A time that is not known is none that is too long: too few good answers may be why."""
    count, latency_ms, other, alone = ALONE[case]
    others = [("small", 1, 1.0, other)] * 5 if other else []
    assert results.only_late(judge(records_of(*[("small", 1, latency_ms, GOOD)] * count, *others))) is alone


def test_a_time_that_a_late_generator_made_too_long_is_not_called_the_services() -> None:
    """Missed, since it is not known, but times alone; what is met is met all the same, and failures are failures."""
    records = records_of(*[("small", 1, 40, GOOD)] * 300, *[("small", 1, 40, FAILED)] * 5)
    verdicts = results.judge(records, SCENARIO, STEADY, late_generator=True)
    assert {verdict.target.name: verdict.why for verdict in verdicts if not verdict.met} == {
        "error ratio": "",
        "goodput ratio": "",
        "p50 of small JPEG": "the load generator was late itself, so this is not the service's time",
    }
    (late,) = [verdict for verdict in verdicts if verdict.late]
    assert late.target.metric == "p50_ms"
    assert results.only_late([late])


@pytest.mark.parametrize(
    ("cpu_share", "late_ms", "late"), [(0.5, 5.0, False), (0.95, 5.0, True), (0.1, 50.0, True), (None, None, False)]
)
def test_a_generator_is_late_by_its_processor_or_its_clock(
    cpu_share: float | None, late_ms: float | None, late: bool
) -> None:
    shares = {} if cpu_share is None else {"worker 1": 0.1, "worker 2": cpu_share}
    spread = {} if late_ms is None else {"p50": 1.0, "p95": late_ms}
    assert results.generator_was_late({"cpu_share": shares, "late_ms": spread}) is late


def test_junit_has_a_case_for_each_target_and_the_sentence_of_each_miss() -> None:
    verdicts = judge(records_of(*[("small", 1, 40, GOOD)] * 300))
    result = {
        "verdicts": [results.verdict_document(verdict) for verdict in verdicts],
        "scenario": {"name": "steady"},
        "seconds": 10.0,
        "mix": {"small": 1},
        "conditions": {"when": "2026-01-02T03:04:05+00:00", "host": "http://x"},
    }
    suite = ET.fromstring(saved.junit(cast(RunDocument, result))).find("testsuite")  # noqa: S314  # written here
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("6", "1")
    failures = suite.findall("testcase/failure")
    assert [failure.get("message") for failure in failures] == ["p50 of small JPEG: 40 ms, target <= 38 ms"]


GOOD_TABLE = '[steady]\nerror_ratio = "<= 0"\n'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[stedy]\n", ["stedy is no scenario", "did you mean steady?"]),
        ("steady = 1\n", ["steady = 1 is no table"]),
        (GOOD_TABLE + 'p95ms = "< 50"\n', ["steady.p95ms is no metric", "did you mean p95_ms?"]),
        (GOOD_TABLE + 'quickness = "< 50"\n', ["Known are p50_ms, p95_ms"]),
        (GOOD_TABLE + '[steady.smal]\np95_ms = "< 50"\n', ["steady.smal is no phase or kind", "did you mean small?"]),
        (GOOD_TABLE + '[steady.recovery]\np95_ms = "< 50"\n', ["steady.recovery is no phase or kind"]),
        (GOOD_TABLE + '[steady.small.png]\np95_ms = "< 50"\n', ["steady.small.png is no phase or kind"]),
        (GOOD_TABLE + 'knee_per_sec = ">= 5"\n', ["steady.knee_per_sec is no metric"]),
        (GOOD_TABLE + "p95_ms = 50\n", ["steady.p95_ms = 50 is no condition", '"< 50"']),
        (GOOD_TABLE + 'p95_ms = "about 50"\n', ["is no condition"]),
        (GOOD_TABLE + 'p95_ms = "< -5"\n', ["is no condition"]),
        (GOOD_TABLE + 'p95_ms = "< nan"\n', ["is no condition"]),
        (GOOD_TABLE + 'p95_ms = ">= 50"\n', ["the wrong way round", 'p95_ms needs "<= ..."']),
        (GOOD_TABLE + 'goodput_ratio = "<= 0.9"\n', ["the wrong way round", 'goodput_ratio needs ">= ..."']),
        (GOOD_TABLE + 'refused_ratio = "<= 5"\n', ["is above 1"]),
        ('[steady]\np95_ms = "< 50"\n', ["sets no error_ratio for [steady]"]),
        ('[steady]\n[steady.small]\nerror_ratio = "<= 0"\n', ["sets no error_ratio for [steady]"]),
        ("[steady\n", ["is no TOML"]),
        ("\xff", ["has no targets for steady"]),
        ("", ["has no targets for steady: add a table [steady]"]),
        ("[steady]\n", ["sets no error_ratio"]),
        ('[smoke]\nerror_ratio = "<= 0"\n', ["has no targets for steady"]),
    ],
)
def test_a_target_file_that_makes_no_sense_is_one_clear_sentence(text: str, parts: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, "latin-1")
    with pytest.raises(LoadTestError) as caught:
        targets.choose(file, "steady")
    message = str(caught.value)
    assert "mine.toml" in message
    assert "\n" not in message
    if text != "\xff":  # no UTF-8
        for part in parts:
            assert part in message


def test_a_target_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=r"missing\.toml cannot be read: No such file"):
        targets.read(tmp_path / "missing.toml")
