"""Percentiles (p50, p95, p99): one definition for load tests, targets and benchmark, and how well samples know them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_CONFIDENCE = 0.95


def samples_needed(quantile: float) -> int:
    """Return the fewest samples that know a quantile: 5 for the 50th percentile, 59 for the 95th, 299 for the 99th.

    With n samples the largest of them lies above the quantile with the probability 1 - quantile^n; below 95 % no sample
    is an upper limit to it (Wilks 1941, "Determination of sample sizes for setting tolerance limits").
    """
    return math.ceil(math.log(1 - _CONFIDENCE) / math.log(quantile))


def percentile(ordered: npt.NDArray[np.float64], quantile: float) -> float:
    """Return the nearest-rank percentile of ascending values: always one of them, NaN where there are none."""
    if not len(ordered):
        return math.nan
    return float(ordered[max(0, math.ceil(quantile * len(ordered)) - 1)])


def interval(ordered: npt.NDArray[np.float64], quantile: float) -> tuple[float, float] | None:
    """Return the limits between which the true percentile lies with 95 % confidence; None with too few samples.

    The ranks are those of the binomial distribution in its normal approximation (Conover, Practical Nonparametric
    Statistics, section 3.2). Requests that wait for one another are not independent, so true limits are wider.
    """
    count = len(ordered)
    if count < samples_needed(quantile):
        return None
    spread = 1.96 * math.sqrt(count * quantile * (1 - quantile))
    low = max(0, math.floor(count * quantile - spread) - 1)
    high = min(count - 1, math.ceil(count * quantile + spread) - 1)
    return float(ordered[low]), float(ordered[high])
