"""The search for the rated rate, on machines whose limit is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from loadtest.errors import LoadTestError
from loadtest.judge.rating import Measure, Step, rate, scenario
from loadtest.judge.targets import Target, Verdict
from loadtest.measure.percentiles import samples_needed

TARGET = Target("p95_ms", "<", 50, request_kind="small")


def machine(limit: Callable[[int], float]) -> Measure:
    """Return a machine that holds up to a rate, which may differ from step to step."""

    def measure(per_sec: float, repeat: int) -> Step:
        met = per_sec <= limit(repeat)
        return Step(per_sec, [Verdict(TARGET, 10.0 if met else 90.0)], repeat)

    return measure


@pytest.mark.parametrize("limit", [3.0, 10.0, 47.0, 133.0, 990.0])
def test_the_limit_is_found_to_within_the_precision_and_never_exceeded(limit: float) -> None:
    rating = rate(machine(lambda _: limit), first=10, most=10_000, precision=0.05, repeats=1)
    assert limit / 1.06 < rating.per_sec <= limit
    assert len(rating.steps) < 25


def test_what_counts_is_the_lowest_of_the_repeats() -> None:
    rating = rate(machine(lambda repeat: [50, 42, 60][repeat]), 10, 1000, 0.05, 3)
    assert rating.per_sec == min(rating.repeats_per_sec)
    assert 42 / 1.06 < rating.per_sec <= 42
    document = rating.to_dict()
    assert document["rated_per_sec"] == document["lowest_per_sec"] == rating.per_sec
    assert document["lowest_per_sec"] <= document["median_per_sec"] <= document["highest_per_sec"] <= 60
    assert len(document["repeats_per_sec"]) == 3


def test_a_machine_that_flickers_is_rated_by_what_held() -> None:
    rng = np.random.default_rng(5)
    rating = rate(machine(lambda _: 50 * rng.uniform(0.8, 1.2)), 10, 1000, 0.05, 5)
    assert 30 < rating.per_sec < 60
    assert all(any(step.met and step.per_sec == ended for step in rating.steps) for ended in rating.repeats_per_sec)


def test_a_machine_that_holds_nothing_is_said_to_hold_nothing() -> None:
    rating = rate(machine(lambda _: 0.1), 10, 1000, 0.05, 3)
    assert rating.per_sec == 0
    assert rating.repeats_per_sec == [0]
    assert min(step.per_sec for step in rating.steps) < 1


def test_the_highest_rate_that_is_allowed_is_not_called_the_limit() -> None:
    rating = rate(machine(lambda _: 1e9), 10, 100, 0.05, 2)
    assert rating.per_sec == 100
    assert rating.limited
    assert max(step.per_sec for step in rating.steps) == 100


def test_a_step_is_long_enough_to_know_its_percentiles() -> None:
    wanted = [TARGET, Target("p99_ms", "<", 100, request_kind="small")]
    step = scenario(20, wanted, {"small": 1, "png": 1}, 5, "poisson")
    assert step.phases[1].arrivals / 2 >= samples_needed(0.99)
    assert scenario(1000, wanted, {"small": 1}, 5, "poisson").phases[1].seconds == 5
    assert not step.retries  # the rate must stay what it is


def test_a_step_that_would_take_for_ever_is_refused() -> None:
    with pytest.raises(LoadTestError, match="a step would take"):
        scenario(0.5, [Target("p99_ms", "<", 100)], {"small": 1}, 5, "poisson")
