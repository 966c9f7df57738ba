"""Goal, measured, verdict: what is printed is what was tested, and what is not known is missed."""

from __future__ import annotations

import math

import pytest

from loadtest.measure.verdicts import Goal, Verdict

TIME, SHARE = Goal("p95", "<", 50, "ms"), Goal("failed", "<=", 0.001, "%")


@pytest.mark.parametrize(
    ("verdict", "said", "word"),
    [
        (Verdict(TIME, 49.9), "p95: 49.9 ms, target < 50 ms", "met"),
        (Verdict(TIME, 50.0), "p95: 50 ms, target < 50 ms", "MISSED"),
        (Verdict(TIME, 20.0, "59 are needed"), "p95: 20 ms, target < 50 ms (59 are needed)", "MISSED"),
        (Verdict(TIME, None, "not started"), "p95: nothing, target < 50 ms (not started)", "MISSED"),
        (Verdict(TIME, math.nan), "p95: nan ms, target < 50 ms", "MISSED"),
        (Verdict(SHARE, 0.001), "failed: 0.1 %, target <= 0.1 %", "met"),
        (Verdict(Goal("rate", ">=", 3.3, "times"), 3.29), "rate: 3.29 times, target >= 3.3 times", "MISSED"),
        (Verdict(Goal("knee", ">=", 20, "/s"), 19.5), "knee: 19.5/s, target >= 20/s", "MISSED"),
        (Verdict(Goal("lost", "<=", 0), 0.0), "lost: 0, target <= 0", "met"),
    ],
)
def test_a_verdict_says_what_it_is_of(verdict: Verdict, said: str, word: str) -> None:
    assert str(verdict) == said
    assert verdict.word == word
    assert verdict.to_dict()["met"] is verdict.met is (word == "met")
