"""Metrics of known records: exact percentiles, honest ratios, the knee where it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from loadtest.judge import metrics
from loadtest.measure import percentiles
from loadtest.measure.answers import Judgement, Outcome
from loadtest.measure.records import Records
from loadtest.plan.schedule import Phase, Scenario

GOOD, REFUSED, FAILED = (Judgement(outcome, outcome.name) for outcome in Outcome)
SCENARIO = Scenario("steady", "", (Phase("warm-up", 5, 10, measured=False), Phase("steady", 10, 10)))


def records_of(*found: tuple[str, int, float, Judgement], attempt: int = 1) -> Records:
    """Return records of (request kind, phase, milliseconds, judgement)."""
    records = Records()
    for request_kind, phase, latency_ms, judgement in found:
        records.add(request_kind, phase, attempt, 5.0 * phase, 0.001, latency_ms / 1000, judgement)
    return records


@pytest.mark.parametrize("count", [1, 2, 3, 10, 99, 100, 101, 1000])
def test_percentiles_are_those_of_numpy_by_nearest_rank(count: int) -> None:
    values = np.sort(np.random.default_rng(count).exponential(20, count))
    for q in (0.5, 0.95, 0.99, 1.0):
        assert percentiles.percentile(values, q) == np.quantile(values, q, method="inverted_cdf")


def test_locusts_rounding_of_response_times_is_not_in_them() -> None:
    """Locust would keep 147.3 ms as 150."""
    found = metrics.compute(records_of(*[("small", 1, 147.3, GOOD)] * 400), SCENARIO)
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (147.3, 147.3, 147.3)


def test_so_many_samples_know_a_percentile() -> None:
    assert [percentiles.samples_needed(q) for q in (0.5, 0.95, 0.99)] == [5, 59, 299]


def test_confidence_intervals_hold_the_truth_in_95_of_100_cases() -> None:
    chance = np.random.default_rng(1)
    truth = -np.log(0.05)  # the 95th percentile of the exponential distribution
    held = 0
    for _ in range(1000):
        low, high = percentiles.interval(np.sort(chance.exponential(1, 400)), 0.95) or (0, 0)
        held += low <= truth <= high
    assert 0.93 < held / 1000 < 0.98


def test_no_interval_without_enough_samples() -> None:
    assert percentiles.interval(np.arange(58.0), 0.95) is None
    assert percentiles.interval(np.arange(59.0), 0.95) is not None


def test_everything_is_counted_where_it_belongs() -> None:
    records = records_of(
        ("small", 0, 900, GOOD),  # the warm-up
        *[("small", 1, 10, GOOD)] * 6,
        ("phone", 1, 50, GOOD),
        ("bad", 1, 1, GOOD),  # well answered, but no picture was classified
        ("small", 1, 3, REFUSED),
        ("small", 1, 5000, FAILED),
    )
    found = metrics.compute(records, SCENARIO)
    assert (found.sent, found.offered, found.good, found.refused, found.failed) == (10, 10, 8, 1, 1)
    assert (found.samples, found.p50_ms, found.max_ms) == (7, 10.0, 50.0)
    assert (found.error_ratio, found.refused_ratio, found.goodput_ratio) == (0.1, 0.1, 0.8)
    assert found.goodput_per_sec == 0.8
    assert metrics.compute(records, SCENARIO, request_kind="small").samples == 6
    assert metrics.compute(records, SCENARIO, phase=0).max_ms == 900.0


def test_who_comes_back_is_offered_once_and_good_in_the_end() -> None:
    records = records_of(("small", 1, 2, REFUSED))
    records.add("small", 1, 2, 7.0, 0.0, 0.01, GOOD)
    found = metrics.compute(records, SCENARIO)
    assert (found.offered, found.sent, found.refused_ratio, found.goodput_ratio) == (1, 2, 0.5, 1.0)


def test_ratios_are_rounded_to_the_bad_side() -> None:
    """One failure in a hundred thousand is not none, and the goodput not all."""
    records = records_of(*[("small", 1, 10, GOOD)] * 99_999, ("small", 1, 10, FAILED))
    found = metrics.compute(records, SCENARIO)
    assert found.error_ratio == 0.0001
    assert found.goodput_ratio == 0.9999


def test_an_empty_run_has_no_figures() -> None:
    found = metrics.compute(Records(), SCENARIO)
    assert found.sent == found.samples == 0
    assert {found.p50_ms, found.error_ratio, found.goodput_ratio, found.goodput_per_sec} == {None}


def test_the_knee_is_where_latency_begins_to_outgrow_throughput() -> None:
    """Of a queue with one server the power is highest at half load (Kleinrock 1979): mean latency 1 / (rate - load)."""
    template = metrics.compute(Records(), SCENARIO)
    loads = [10.0, 30.0, 50.0, 70.0, 90.0]
    steps = [dataclasses.replace(template, goodput_per_sec=load, mean_ms=1000 / (100 - load)) for load in loads]
    assert metrics.knee(steps) == 2
    assert metrics.knee(steps[:2]) is None
    assert metrics.knee([template] * 5) is None


def test_rows_survive_the_way_to_a_master() -> None:
    """Two workers that met different errors in different orders are one record in the end."""
    chance = np.random.default_rng(0)
    all_records, workers = Records(), (Records(), Records())
    for number in range(400):
        found = Judgement(Outcome(int(chance.integers(3))), "abcde"[chance.integers(5)], f"detail {number}")
        for records in (all_records, workers[number % 2]):
            records.add("small", 1, 1, number / 40, 0.001, 0.5, found)
    merged = Records()
    for worker in workers:
        half = worker.take()
        assert len(worker) == 0
        merged.merge(half)
    assert len(merged) == 400

    def by_reason(records: Records) -> dict[str, int]:
        return {item["reason"] + item["outcome"]: item["count"] for item in metrics.errors(records, SCENARIO)}

    assert by_reason(merged) == by_reason(all_records)


def test_errors_are_listed_by_frequency_with_what_was_said_first() -> None:
    records = records_of(("small", 0, 1, REFUSED), ("small", 1, 1, REFUSED), ("png", 1, 1, FAILED))
    records.details["REFUSED"] = "full"
    first, second = metrics.errors(records, SCENARIO)
    assert first == {
        "outcome": "refused",
        "reason": "REFUSED",
        "count": 2,
        "first_sec": 0.0,
        "kinds": ["small"],
        "phases": ["warm-up", "steady"],
        "detail": "full",
    }
    assert second["count"] == 1
