"""Do two sides differ by more than noise? What is compared, by how much it differs, and an interval of 95 %.

A side is one run, or several. Requests of one run wait for one another, so they are no independent samples: with one
run a side, whole stretches of time are drawn anew (the block bootstrap: Künsch 1989, "The jackknife and the bootstrap
for general stationary observations"; about n^(1/3) of n requests each: Hall, Horowitz and Jing 1995, "On blocking rules
for the bootstrap with dependent data"). What changes from one run to the next is not in that. With several runs a side
the difference of each pair is one sample, and the interval is Student's for their mean, which has both (Georges,
Buytaert and Eeckhout 2007, "Statistically rigorous Java performance evaluation"). Times and rates are compared as
ratios, on a logarithmic scale.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtest.errors import LoadTestError
from loadtest.judge.metrics import PERCENTILES
from loadtest.judge.saved import SavedRun
from loadtest.measure.percentiles import percentile, samples_needed
from loadtest.plan.mix import BAD, REQUEST_KINDS

_REPLICATES = 1000
_LEAST_BLOCK_SEC, _FEWEST_BLOCKS = 2.0, 8  # a stall of a second is not cut into pieces
# Student's 97.5th percentile by degrees of freedom from 1; beyond, the last, which is a little too wide.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """One quantity on both sides. `change` and `limits` are ratios to A less 1, or differences of shares."""

    name: str
    unit: str  # ms, /s, or % for shares
    values: tuple[float, float]  # of A and of B; of several runs their medians
    change: float
    limits: tuple[float, float] | None  # None where the runs are too short to know
    pairs: tuple[float, ...]  # the change of each pair of runs

    @property
    def verdict(self) -> str:
        """Return better, worse, or that it is noise, with 95 % confidence."""
        if self.limits is None:
            return "not known"
        if self.limits[0] <= 0 <= self.limits[1]:
            return "within noise"
        more_is_better = self.unit == "/s" or self.name.startswith("goodput")
        return "better" if (self.change > 0) == more_is_better else "worse"


def compare(a: Sequence[SavedRun], b: Sequence[SavedRun], seed: int = 0) -> list[Difference]:
    """Return everything that both sides know, with its interval.

    Raises:
        LoadTestError: the sides do not have equally many runs.
    """
    if len(a) != len(b):
        raise LoadTestError(
            f"A has {len(a)} runs and B has {len(b)}: runs are compared in pairs, so give as many of each."
        )
    rng = np.random.default_rng(seed)
    sides = [[_Estimates(run, rng, len(a) == 1) for run in side] for side in (a, b)]
    names = [name for name in sides[0][0].known if all(name in run.known for run in itertools.chain(*sides))]
    return [_difference(name, sides[0], sides[1]) for name in names]


def alternate(a: Sequence[SavedRun], b: Sequence[SavedRun]) -> bool:
    """Return whether the runs took turns: in order of time, each two are one of A and one of B."""
    order = sorted([(run.when, "A") for run in a] + [(run.when, "B") for run in b])
    return all(one[1] != other[1] for one, other in zip(order[::2], order[1::2], strict=True))


def _difference(name: str, a: Sequence[_Estimates], b: Sequence[_Estimates]) -> Difference:
    unit = "ms" if name in a[0].times else "/s" if name.endswith("a second") else "%"
    ratio = unit != "%"

    def change(one: Floats, other: Floats) -> Floats:
        """Return a difference that can be averaged."""
        return np.log(np.maximum(other, 1e-9) / np.maximum(one, 1e-9)) if ratio else other - one

    pairs = np.array([change(one.known[name][0], two.known[name][0]) for one, two in zip(a, b, strict=True)])
    middle, limits = float(pairs.mean()), None
    if len(pairs) > 1:
        spread = _STUDENT[min(len(pairs) - 1, len(_STUDENT)) - 1] * float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
        limits = (middle - spread, middle + spread)
    elif a[0].long_enough and b[0].long_enough:
        drawn = np.sort(change(a[0].known[name][1:], b[0].known[name][1:]))
        limits = (percentile(drawn, 0.025), percentile(drawn, 0.975))
    back = math.expm1 if ratio else float
    low, high = (statistics.median(float(run.known[name][0]) for run in side) for side in (a, b))
    of_pairs = tuple(back(float(pair)) for pair in pairs)
    return Difference(name, unit, (low, high), back(middle), limits and (back(limits[0]), back(limits[1])), of_pairs)


class _Estimates:
    """Every quantity of one run: its estimate first, then what it is in each replicate of the block bootstrap."""

    def __init__(self, run: SavedRun, rng: np.random.Generator, replicates: bool) -> None:
        requests = run.requests
        blocks, counts = _blocks(run, rng, _REPLICATES if replicates else 0)  # [requests], [1 + replicates, blocks]
        self.long_enough = counts.shape[1] >= _FEWEST_BLOCKS
        self.known: dict[str, Floats] = {}
        self.times: set[str] = set()
        good, first = requests.outcome == "good", requests.attempt == 1
        for kind in dict.fromkeys([*REQUEST_KINDS, *sorted(set(requests.kind.tolist()))]):  # people's own tasks, too
            if kind == BAD:
                continue
            chosen = good & (requests.kind == kind)
            order = np.argsort(requests.latency_ms[chosen])
            ordered, of_block = requests.latency_ms[chosen][order], blocks[chosen][order]
            known = {name: q for name, q in PERCENTILES.items() if len(ordered) >= samples_needed(q)}
            drawn = np.array([_percentiles(ordered, of_block, count, [*known.values()]) for count in counts])
            for number, metric in enumerate(known):
                name = f"{metric.removesuffix('_ms')} of {REQUEST_KINDS.get(kind, kind)}"
                self.times.add(name)
                self.known[name] = drawn[:, number]

        def total(mask: npt.NDArray[np.bool_]) -> Floats:
            return np.asarray(counts @ np.bincount(blocks[mask], minlength=counts.shape[1]), np.float64)

        everything = np.maximum(total(np.ones(len(blocks), bool)), 1)
        self.known["goodput a second"] = total(good) / run.seconds
        self.known["goodput ratio"] = total(good) / np.maximum(total(first), 1)
        self.known["refused ratio"] = total(requests.outcome == "refused") / everything
        self.known["error ratio"] = total(requests.outcome == "failed") / everything


def _percentiles(ordered: Floats, of_block: Counts, count: Counts, quantiles: Sequence[float]) -> list[float]:
    """Return nearest-rank percentiles (percentiles.py) where a block is there as often as `count` says."""
    upto = np.cumsum(count[of_block])
    return [
        ordered[np.searchsorted(upto, max(1, math.ceil(q * upto[-1] - 1e-6)))] if upto[-1] else 0.0 for q in quantiles
    ]


def _blocks(run: SavedRun, rng: np.random.Generator, replicates: int) -> tuple[Counts, Counts]:
    """Return the block of each request, and how often each block is drawn: once, then anew within each phase."""
    requests = run.requests
    blocks, counts, first = np.zeros(len(requests.due_sec), np.int64), [], 0
    for name, start, seconds in _phases(run):
        inside = requests.phase == name
        number = max(1, min(int(seconds / _LEAST_BLOCK_SEC), round(int(inside.sum()) ** (2 / 3))))
        within = ((requests.due_sec[inside] - start) / seconds * number).astype(np.int64)
        blocks[inside] = first + np.clip(within, 0, number - 1)
        drawn = rng.multinomial(number, [1 / number] * number, size=replicates)
        counts.append(np.vstack([np.ones((1, number), np.int64), drawn]))
        first += number
    return blocks, np.hstack(counts)


def _phases(run: SavedRun) -> Iterator[tuple[str, float, float]]:
    start = 0.0
    for phase in run.result["scenario"]["phases"]:
        if phase["measured"]:
            yield phase["name"], start, phase["seconds"]
        start += phase["seconds"]
