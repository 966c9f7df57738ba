"""Percentiles (p50, p95, p99): one definition for load tests, targets and benchmark, and how well samples know them."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

_ERROR = 0.05  # 95 % confidence
_STANDARD_DEVIATIONS = 12.0  # beyond so many of the binomial distribution is nothing that a float64 adds up


def samples_needed(quantile: float) -> int:
    """Return the fewest samples that know a quantile: 5 for the 50th percentile, 59 for the 95th, 299 for the 99th.

    With n samples the largest of them lies above the quantile with the probability 1 - quantile^n; below 95 % no sample
    is an upper limit to it (Wilks 1941, "Determination of sample sizes for setting tolerance limits").
    """
    return math.ceil(math.log(_ERROR) / math.log(quantile))


def percentile(ordered: npt.NDArray[np.float64], quantile: float) -> float:
    """Return the nearest-rank percentile of ascending values: always one of them, NaN where there are none.

    It is the smallest value that at least `quantile` of all values do not exceed.
    """
    if not len(ordered):
        return math.nan
    rank = math.ceil(quantile * len(ordered) - 1e-6)  # 0.07 * 100 is a little more than 7
    return float(ordered[max(0, rank - 1)])


def interval(ordered: npt.NDArray[np.float64], quantile: float) -> tuple[float, float] | None:
    """Return the limits that hold the true percentile with at least 95 % confidence; None with too few samples.

    Exact and of no assumed distribution: how many of n independent samples lie below the quantile is binomial, so two
    order statistics enclose it with a probability that is known (Conover, Practical Nonparametric Statistics, section
    3.2; David and Nagaraja, Order Statistics, section 7.1). Where no sample is low enough, the lower limit is 0: values
    are times. Requests that wait for one another are not independent, so that true limits are wider.
    """
    if len(ordered) < samples_needed(quantile):
        return None
    low, high = _ranks(len(ordered), quantile)
    return float(ordered[low - 1]) if low else 0.0, float(ordered[high - 1])


@functools.lru_cache
def _ranks(count: int, quantile: float) -> tuple[int, int]:
    """Return which of `count` ascending samples are the limits, from 1; 0 where none is a lower limit.

    With B samples below the quantile, the r-th is above it where B < r. The upper limit may err in half of the cases
    allowed, or in all of them where only the largest sample is left; the lower limit in those that remain.
    """
    middle, spread = count * quantile, _STANDARD_DEVIATIONS * math.sqrt(count * quantile * (1 - quantile))
    first, last = max(0, math.floor(middle - spread)), min(count, math.ceil(middle + spread))
    below = np.arange(first, last)
    steps = np.log((count - below) / (below + 1)) + math.log(quantile / (1 - quantile))
    logarithms = np.concatenate([[0.0], np.cumsum(steps)])  # of P(B = first), P(B = first + 1), ..., up to a factor
    chances = np.exp(logarithms - logarithms.max())
    chances /= chances.sum()
    at_least = np.cumsum(chances[::-1])[::-1]  # P(B >= first), ...
    less = np.concatenate([[0.0], np.cumsum(chances)[:-1]])  # P(B < first), ...
    fits = np.flatnonzero(at_least <= _ERROR / 2)
    high = int(fits[0]) if len(fits) else len(chances) - 1
    low = int(np.flatnonzero(less <= _ERROR - at_least[high])[-1])
    return min(first + low, count), min(first + high, count)
