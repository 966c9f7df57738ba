"""What the search for the rated rate says: the rate and its uncertainty, or what even the lowest rate missed."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from loadtest.judge.rating import Rating, Step
from loadtest.judge.targets import Verdict
from loadtest.show import rated
from tests.loadtest.judge.test_rating import TARGET
from tests.loadtest.scripted import MODEL
from tests.loadtest.show.test_report import CONDITIONS

RESULT: dict[str, Any] = {
    "arrivals": "poisson",
    "mix": {"small": 1},
    "conditions": {"service": {"model": MODEL}, "machine": CONDITIONS.machine, "when": CONDITIONS.when},
}


def step(per_sec: float, latency_ms: float, repeat: int = 0) -> Step:
    return Step(per_sec, [Verdict(TARGET, latency_ms)], repeat)


RATING = Rating([step(10, 20), step(20, 60), step(14, 30), step(12, 30, 1)], [14.0, 12.0])


def test_the_rate_that_counts_comes_first_and_every_search_is_named() -> None:
    lines = rated.terminal(RATING, RESULT).splitlines()
    assert lines[0] == "RATED 12 REQUESTS A SECOND"
    assert lines[1] == "  the lowest of 2 searches, which ended at 14, 12 a second"
    assert lines[2] == "  targets: p95 of small JPEG < 50 ms"
    assert lines[3] == "  poisson arrivals, 4 steps, mix: small"


def test_a_rate_that_the_options_ended_is_said_to_be_more() -> None:
    rating = Rating([step(100, 20)], [100.0], limited=True)
    assert rated.terminal(rating, RESULT).startswith("RATED 100 REQUESTS A SECOND OR MORE: --to ended the search\n")


def test_where_no_rate_holds_the_lowest_says_what_it_missed() -> None:
    rating = Rating([step(1, 70), step(0.5, 60)], [0.0])
    assert rated.terminal(rating, RESULT) == (
        "NO RATE HOLDS: even 0.5 a second misses its targets.\n  MISSED  p95 of small JPEG: 60 ms, target < 50 ms"
    )
    again = Rating([step(1, 20), step(1, 60, 1), step(0.5, 60, 1)], [1.0, 0.0])
    assert rated.terminal(again, RESULT).startswith("NO RATE HOLDS EVERY TIME: even 0.5 a second")


def test_the_searches_are_drawn() -> None:
    with Image.open(io.BytesIO(rated.plot(RATING, [TARGET], RESULT))) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
