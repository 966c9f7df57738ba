"""The rated requests a second as people see it: the summary in the terminal, and the picture of the searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib import pyplot as plt

from loadtest.judge.metrics import PERCENTILES
from loadtest.judge.rating import Rating, Step
from loadtest.judge.targets import Target
from loadtest.measure import machine
from loadtest.show import drawing, summary


def terminal(rating: Rating, result: Mapping[str, Any]) -> str:
    """Return what the searches ended with; where no rate held, what even the lowest missed."""
    first = rating.steps[0]
    if not rating.per_sec:
        lowest = min(rating.steps, key=lambda step: step.per_sec)
        missed = "\n".join(f"  MISSED  {verdict}" for verdict in lowest.verdicts if not verdict.met)
        ever = " EVERY TIME" if any(rating.repeats_per_sec) else ""
        return f"NO RATE HOLDS{ever}: even {lowest.per_sec:g} a second misses its targets.\n{missed}"
    ends = ", ".join(f"{per_sec:g}" for per_sec in rating.repeats_per_sec)
    lines = [
        f"RATED {rating.per_sec:g} REQUESTS A SECOND" + (" OR MORE: --to ended the search" if rating.limited else ""),
        f"  the lowest of {len(rating.repeats_per_sec)} searches, which ended at {ends} a second",
        f"  targets: {'; '.join(f'{v.target.name} {v.target.condition}' for v in first.verdicts)}",
        f"  {result['arrivals']} arrivals, {len(rating.steps)} steps, mix: {', '.join(result['mix'])}",
        f"  {summary.model_in_words(dict(result))}; {machine.in_words(result['conditions']['machine'])}",
    ]
    return "\n".join(lines)


def plot(rating: Rating, targets: list[Target], result: Mapping[str, Any]) -> bytes:
    """Return a PNG: every step's highest share of a latency limit, and the rates at which the searches ended."""
    load_machine = result["conditions"]["machine"]
    limits = ", ".join(f"{target.name} {target.condition}" for target in targets if target.metric in PERCENTILES)
    with drawing.style():
        figure, axes = plt.subplots(figsize=(10, 5.6), layout="constrained")
        for met, colour, name in ((True, "#137333", "every target met"), (False, drawing.FAILED, "a target missed")):
            chosen = [(step.per_sec, worst) for step in rating.steps if step.met is met and (worst := _worst(step))]
            across, up = [per_sec for per_sec, _ in chosen], [worst for _, worst in chosen]
            axes.scatter(across, up, color=colour, s=34, alpha=0.75, linewidths=0, label=name)
        axes.axhline(100, color=drawing.INK, linewidth=1, linestyle="--")
        axes.axvspan(
            rating.per_sec, max(rating.repeats_per_sec), color="#d3e3fd", zorder=0, label="where the searches ended"
        )
        axes.axvline(rating.per_sec, color=drawing.GOOD, linewidth=1.6, label=f"rated: {rating.per_sec:g} a second")
        drawing.logarithmic(axes, axes.yaxis)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 45), max(high, 220))  # at least two of its numbers
        axes.set(ylabel="latency, % of its limit", xlim=(0, None))
        axes.set_xlabel(
            f"requests offered a second\n\n{limits}; {result['arrivals']} arrivals\n"
            f"{summary.model_in_words(dict(result))}; {load_machine['processor']}, {load_machine['cpus']} CPUs, "
            f"{result['conditions']['when'][:10]}"
        )
        axes.set_title(f"Rated {rating.per_sec:g} requests a second; {len(rating.repeats_per_sec)} searches")
        axes.legend(loc="upper left")
        return drawing.to_bytes(figure)


def _worst(step: Step) -> float | None:
    """Return the highest latency in percent of its limit."""
    shares = [
        100 * verdict.measured / verdict.target.limit
        for verdict in step.verdicts
        if verdict.target.metric in PERCENTILES and verdict.measured and verdict.target.limit
    ]
    return max(shares, default=None)
