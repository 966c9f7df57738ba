"""How much a count of pictures proves: intervals that hold the true share in 95 of 100 cases."""

from __future__ import annotations

import math

Interval = tuple[float, float]

_Z = 1.959964  # of the normal distribution, two-sided 95 %


def wilson(count: int, total: int) -> Interval:
    """Return the interval of a share: `count` of `total` (Wilson, J. Am. Stat. Assoc. 22, 1927, 209-212)."""
    share, z2 = count / total, _Z * _Z
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    # At the ends rounding errors would leave it beside the share.
    return 0.0 if count == 0 else centre - half, 1.0 if count == total else centre + half


def paired_difference(both: int, first: int, second: int, neither: int) -> Interval:
    """Return the interval of the difference of two shares that were counted on the same pictures.

    Newcombe, Statistics in Medicine 17, 1998, 2635-2650, method 10: Wilson's interval of each, and how far they go
    together.

    Args:
        both: pictures that both got right.
        first: that only the first got right, whose share the other is taken from.
        second: that only the second got right.
        neither: that neither got right.
    """
    total = both + first + second + neither
    one, other = (both + first) / total, (both + second) / total
    (low_one, high_one), (low_other, high_other) = wilson(both + first, total), wilson(both + second, total)
    phi = _correlation(both, first, second, neither)

    def distance(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    return (
        one - other - distance(one - low_one, high_other - other),
        one - other + distance(high_one - one, other - low_other),
    )


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Return phi, with the paper's correction for continuity where it is positive."""
    total = both + first + second + neither
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    product: float = both * neither - first * second
    if product > 0:
        product = max(0, product - total / 2)
    return product / math.sqrt(margins)
