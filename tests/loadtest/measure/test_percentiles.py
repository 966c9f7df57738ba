"""One percentile for everything: exact, by nearest rank, with an interval that holds what it promises."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from loadtest.measure.percentiles import _ranks, interval, percentile, samples_needed


@pytest.mark.parametrize("count", [1, 2, 3, 10, 99, 100, 101, 1000])
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(count: int) -> None:
    """Against the definition in whole numbers: in floating point 0.07 * 100 is a little more than 7."""
    values = np.arange(1.0, count + 1)
    for hundredth in range(1, 101):
        rank = math.ceil(Fraction(hundredth, 100) * count)
        assert percentile(values, hundredth / 100) == rank, hundredth
    for q in (0.5, 0.95, 0.99, 1.0):
        assert percentile(values, q) == np.quantile(values, q, method="inverted_cdf")


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile(np.array([]), 0.5))


def test_so_many_samples_know_a_percentile() -> None:
    assert [samples_needed(q) for q in (0.5, 0.95, 0.99)] == [5, 59, 299]
    assert interval(np.arange(58.0), 0.95) is None
    assert (interval(np.arange(59.0), 0.95) or (0, 0))[1] == 58.0
    assert (interval(np.arange(1.0, 6.0), 0.5) or (1, 0))[0] == 0.0  # no sample is low enough, and times are above 0


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("count", [5, 6, 59, 60, 299, 306, 1000, 100_000])
def test_the_limits_hold_as_the_binomial_distribution_says(count: int, quantile: float) -> None:
    """By its own formula, term by term: at least 95 % between them, and no more than is needed above."""
    if count < samples_needed(quantile):
        return
    low, high = _ranks(count, quantile)

    def chance(k: int) -> float:
        choose = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        return math.exp(choose + k * math.log(quantile) + (count - k) * math.log(1 - quantile))

    inside = sum(chance(k) for k in range(low, high))
    assert inside >= 0.95 - 1e-9
    if low + 1 < high < count:
        assert inside - chance(low) < 0.95, "the lower limit could be higher"
        assert sum(chance(k) for k in range(high - 1, count + 1)) > 0.025, "the upper limit could be lower"


@pytest.mark.parametrize(("quantile", "count"), [(0.5, 40), (0.95, 400), (0.99, 300)])
def test_the_truth_is_inside_in_95_of_100_samples_of_a_known_distribution(quantile: float, count: int) -> None:
    rng = np.random.default_rng(1)
    truth = -math.log(1 - quantile)  # of the exponential distribution
    limits = [interval(np.sort(rng.exponential(1, count)), quantile) or (0, 0) for _ in range(2000)]
    held = sum(low <= truth <= high for low, high in limits) / len(limits)
    assert 0.94 < held < 0.985
