"""`python -m loadtest rate`: the searches on a real service, the small file, the picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import locust  # noqa: F401  # before what imports ssl: it replaces the standard library's sockets
from matplotlib import pyplot as plt

from loadtest.errors import LoadTestError
from loadtest.judge import results
from loadtest.judge.metrics import PERCENTILES
from loadtest.judge.rating import Rating, Step, rate, scenario
from loadtest.judge.targets import Target
from loadtest.measure import machine
from loadtest.measure.runner import Sent
from loadtest.plan.scenarios import Spacing
from loadtest.rig import Bench, Options, bench
from loadtest.show import charts, summary


@dataclasses.dataclass(frozen=True)
class Search:
    """What the command line says about the search."""

    first: float
    most: float
    step_sec: float
    warm_up_sec: float
    precision: float
    repeats: int
    spacing: Spacing


def run(options: Options, search: Search, targets: list[Target], target_file: Path, file: Path) -> bool:
    """Find the rated requests a second and write `file`, with a PNG beside it; returns whether any rate held."""
    if search.most < search.first:
        raise LoadTestError(f"--to {search.most:g} is below --from {search.first:g}: the search goes up.")
    what = f"ever more requests, up to {search.most:g} a second, for some minutes"
    with bench(options, what) as found:
        sent: list[Sent] = []

        def measure(per_sec: float, repeat: int) -> Step:
            step = scenario(per_sec, targets, found.mix, search.step_sec, search.spacing)
            plan = dataclasses.replace(found.plan(step), seed=options.seed + len(sent))
            sent.append(found.driver.run(plan))
            tried = Step(per_sec, results.judge(sent[-1].rows, step, targets), repeat)
            found.progress.say(f"{repeat + 1} of {search.repeats}: {tried}")
            return tried

        before = found.process()
        if search.warm_up_sec:
            found.driver.run(found.plan(scenario(search.first, [], found.mix, search.warm_up_sec, "constant")))
        rating = rate(measure, search.first, search.most, search.precision, search.repeats)
        conditions = dataclasses.asdict(found.conditions(sent[-1], before, target_file))
    result = {
        **rating.to_dict(),
        "precision": search.precision,
        "arrivals": search.spacing,
        "targets": [f"{target.name} {target.condition}" for target in targets],
        "mix": dict(found.mix),
        "conditions": conditions,
    }
    click.echo(_summary(found, rating, result))
    if not rating.per_sec:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
    picture = file.with_suffix(".png")
    picture.write_bytes(plot(rating, targets, result))
    click.echo(f"\n  {file}  (also {picture.name})")
    return True


def _summary(found: Bench, rating: Rating, result: Mapping[str, Any]) -> str:
    first = rating.steps[0]
    if not rating.per_sec:
        lowest = min(rating.steps, key=lambda step: step.per_sec)
        missed = "\n".join(f"  MISSED  {verdict}" for verdict in lowest.verdicts if not verdict.met)
        ever = " EVERY TIME" if any(rating.found) else ""
        return f"NO RATE HOLDS{ever}: even {lowest.per_sec:g} a second misses its targets.\n{missed}"
    ends = ", ".join(f"{per_sec:g}" for per_sec in rating.found)
    lines = [
        f"RATED {rating.per_sec:g} REQUESTS A SECOND" + (" OR MORE: --to ended the search" if rating.limited else ""),
        f"  the lowest of {len(rating.found)} searches, which ended at {ends} a second",
        f"  targets: {'; '.join(f'{v.target.name} {v.target.condition}' for v in first.verdicts)}",
        f"  {result['arrivals']} arrivals, {len(rating.steps)} steps, mix: {', '.join(found.mix)}",
        f"  {summary.model_in_words(dict(result))}; {machine.in_words(result['conditions']['machine'])}",
    ]
    return "\n".join(lines)


def plot(rating: Rating, targets: list[Target], result: Mapping[str, Any]) -> bytes:
    """Return a PNG: every step's highest share of a latency limit, and the rates at which the searches ended."""
    found = result["conditions"]["machine"]
    limits = ", ".join(f"{target.name} {target.condition}" for target in targets if target.metric in PERCENTILES)
    with charts.style():
        figure, axes = plt.subplots(figsize=(10, 5.6), layout="constrained")
        for met, colour, name in ((True, "#137333", "every target met"), (False, charts.FAILED, "a target missed")):
            chosen = [(step.per_sec, worst) for step in rating.steps if step.met is met and (worst := _worst(step))]
            across, up = [per_sec for per_sec, _ in chosen], [worst for _, worst in chosen]
            axes.scatter(across, up, color=colour, s=34, alpha=0.75, linewidths=0, label=name)
        axes.axhline(100, color=charts.INK, linewidth=1, linestyle="--")
        axes.axvspan(rating.per_sec, max(rating.found), color="#d3e3fd", zorder=0, label="where the searches ended")
        axes.axvline(rating.per_sec, color=charts.GOOD, linewidth=1.6, label=f"rated: {rating.per_sec:g} a second")
        charts.logarithmic(axes, axes.yaxis)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 45), max(high, 220))  # at least two of its numbers
        axes.set(ylabel="latency, % of its limit", xlim=(0, None))
        axes.set_xlabel(
            f"requests offered a second\n\n{limits}; {result['arrivals']} arrivals\n"
            f"{summary.model_in_words(dict(result))}; {found['processor']}, {found['cpus']} CPUs, "
            f"{result['conditions']['when'][:10]}"
        )
        axes.set_title(f"Rated {rating.per_sec:g} requests a second; {len(rating.found)} searches")
        axes.legend(loc="upper left")
        return charts.to_bytes(figure)


def _worst(step: Step) -> float | None:
    """Return the highest latency in percent of its limit."""
    shares = [
        100 * verdict.measured / verdict.target.limit
        for verdict in step.verdicts
        if verdict.target.metric in PERCENTILES and verdict.measured and verdict.target.limit
    ]
    return max(shares, default=None)
