"""Metrics of known records: exact percentiles, honest ratios, the knee where it is."""

from __future__ import annotations

import dataclasses

import numpy as np

from loadtest.judge import metrics
from loadtest.measure.answers import Judgement, Outcome
from loadtest.measure.records import Records
from loadtest.plan.schedule import Phase, Scenario

GOOD, REFUSED, FAILED = (Judgement(outcome, outcome.name) for outcome in Outcome)
SCENARIO = Scenario("steady", "", (Phase("warm-up", 5, 10, measured=False), Phase("steady", 10, 10)))


def records_of(*requests: tuple[str, int, float, Judgement], attempt: int = 1) -> Records:
    """Return records of (request kind, phase, milliseconds, judgement)."""
    records = Records()
    for request_kind, phase, latency_ms, judgement in requests:
        records.add(request_kind, phase, attempt, 5.0 * phase, 0.001, latency_ms / 1000, judgement)
    return records


def test_locusts_rounding_of_response_times_is_not_in_them() -> None:
    """Locust would keep 147.3 ms as 150."""
    computed = metrics.compute(records_of(*[("small", 1, 147.3, GOOD)] * 400), SCENARIO)
    assert (computed.p50_ms, computed.p95_ms, computed.p99_ms) == (147.3, 147.3, 147.3)


def test_everything_is_counted_where_it_belongs() -> None:
    records = records_of(
        ("small", 0, 900, GOOD),  # the warm-up
        *[("small", 1, 10, GOOD)] * 6,
        ("phone", 1, 50, GOOD),
        ("bad", 1, 1, GOOD),  # well answered, but no picture was classified
        ("small", 1, 3, REFUSED),
        ("small", 1, 5000, FAILED),
    )
    computed = metrics.compute(records, SCENARIO)
    assert (computed.sent, computed.offered, computed.good, computed.refused, computed.failed) == (10, 10, 8, 1, 1)
    assert (computed.samples, computed.p50_ms, computed.max_ms) == (7, 10.0, 50.0)
    assert (computed.error_ratio, computed.refused_ratio, computed.goodput_ratio) == (0.1, 0.1, 0.8)
    assert computed.goodput_per_sec == 0.8
    assert metrics.compute(records, SCENARIO, request_kind="small").samples == 6
    assert metrics.compute(records, SCENARIO, phase=0).max_ms == 900.0


def test_who_comes_back_is_offered_once_and_good_in_the_end() -> None:
    records = records_of(("small", 1, 2, REFUSED))
    records.add("small", 1, 2, 7.0, 0.0, 0.01, GOOD)
    computed = metrics.compute(records, SCENARIO)
    assert (computed.offered, computed.sent, computed.refused_ratio, computed.goodput_ratio) == (1, 2, 0.5, 1.0)


def test_ratios_are_rounded_to_the_bad_side() -> None:
    """One failure in a hundred thousand is not none, and the goodput not all."""
    records = records_of(*[("small", 1, 10, GOOD)] * 99_999, ("small", 1, 10, FAILED))
    computed = metrics.compute(records, SCENARIO)
    assert computed.error_ratio == 0.0001
    assert computed.goodput_ratio == 0.9999


def test_an_empty_run_has_no_figures() -> None:
    computed = metrics.compute(Records(), SCENARIO)
    assert computed.sent == computed.samples == 0
    assert {computed.p50_ms, computed.error_ratio, computed.goodput_ratio, computed.goodput_per_sec} == {None}


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
    rng = np.random.default_rng(0)
    all_records, workers = Records(), (Records(), Records())
    for number in range(400):
        judgement = Judgement(Outcome(int(rng.integers(3))), "abcde"[rng.integers(5)], f"detail {number}")
        for records in (all_records, workers[number % 2]):
            records.add("small", 1, 1, number / 40, 0.001, 0.5, judgement)
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
