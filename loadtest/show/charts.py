"""The charts of a run: latency over time, answers over time, and throughput against latency or the distribution.

Each is drawn on axes that it is given, so that the page has them one by one and the picture all together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.judge import metrics
from loadtest.judge.document import RunDocument
from loadtest.judge.results import Run
from loadtest.measure.answers import Outcome
from loadtest.plan.mix import BAD, REQUEST_KINDS, in_words
from loadtest.plan.schedule import Scenario
from loadtest.show.drawing import FAILED, GOOD, INK, QUIET, REFUSED, legend, logarithmic

_REQUEST_COLOURS = dict(zip(REQUEST_KINDS, ("#0b57d0", "#8430ce", "#12858c", "#b06000", QUIET), strict=True))
_LINES = {"p50_ms": ("p50", "-", 2.2), "p95_ms": ("p95", "-", 1.2), "p99_ms": ("p99", ":", 1.2)}
_MOST_DOTS = 20_000
_NARROW = 0.07  # a phase that is too short for its name, as a share of the whole

Draw = Callable[[Axes, Run], None]


def latency_over_time(axes: Axes, run: Run) -> None:
    """Draw every answered request as a dot, and the percentiles of the main request kind as lines."""
    result = run.result
    good = run.records.column("outcome") == Outcome.GOOD
    due, latency_us = (run.records.column(name)[good] for name in ("due_sec", "latency_us"))
    thin = max(1, len(due) // _MOST_DOTS)
    for request_kind in result["figures"]["kinds"]:
        chosen = np.flatnonzero(run.records.of_kind(request_kind)[good])[::thin]
        axes.scatter(
            *(due[chosen], np.maximum(latency_us[chosen] / 1000, 0.1)),
            s=9,
            color=_REQUEST_COLOURS.get(request_kind, INK),
            alpha=0.35,
            linewidths=0,
            rasterized=True,
            label=in_words(request_kind),
        )
    windows = result["timeline"]
    middles = [(window["begin_sec"] + window["end_sec"]) / 2 for window in windows]
    for metric, (name, line, width) in _LINES.items():
        values = [np.nan if window[metric] is None else window[metric] for window in windows]
        axes.plot(middles, values, line, color=INK, linewidth=width, label=name)
    _draw_limits(axes, result)
    _draw_phases(axes, result)
    logarithmic(axes, axes.yaxis)
    axes.set(xlabel="seconds since the start", ylabel="latency, ms", xlim=(0, windows[-1]["end_sec"]))
    axes.set_title(f"Latency: every request (dots), percentiles of {REQUEST_KINDS[result['main_kind']]} (lines)")
    legend(axes, 4)


def answers_over_time(axes: Axes, run: Run) -> None:
    """Draw answers a second: good ones, refusals, failures."""
    result = run.result
    windows = result["timeline"]
    begin = [window["begin_sec"] for window in windows]
    widths = [max(window["end_sec"] - window["begin_sec"], 1e-9) for window in windows]
    floor = np.zeros(len(windows))
    for name, colour in (("good", GOOD), ("refused", REFUSED), ("failed", FAILED)):
        height = np.array([window[name] / width for window, width in zip(windows, widths, strict=True)])
        total = sum(window[name] for window in windows)
        axes.bar(begin, height, widths, floor, align="edge", color=colour, alpha=0.85, label=f"{name}: {total:,}")
        floor += height
    scenario = Scenario.from_dict(result["scenario"])
    if not scenario.closed:
        edges = [*scenario.starts(), scenario.seconds]
        axes.stairs([phase.per_sec for phase in scenario.phases], edges, color=INK, linewidth=1, label="offered")
    _draw_phases(axes, result, names=False)
    axes.set(xlabel="seconds since the start", ylabel="a second", xlim=(0, windows[-1]["end_sec"]))
    axes.set_ylim(0, 1.1 * max(axes.get_ylim()[1], 1e-9))
    axes.set_title("Answers a second, by when the request was due")
    legend(axes, 4)


def throughput_against_latency(axes: Axes, run: Run) -> None:
    """Draw good answers a second against latency, one point a step, with the knee marked."""
    result = run.result
    phases = result["figures"]["phases"]
    across = [phase["all"]["goodput_per_sec"] or 0.0 for phase in phases]
    for metric, (name, line, _) in _LINES.items():
        values = [phase["main"][metric] if phase["main"]["intervals_ms"][metric] else np.nan for phase in phases]
        colour = {"p50": GOOD, "p95": "#8430ce", "p99": QUIET}[name]
        axes.plot(across, values, line, color=colour, marker="o", markersize=4, linewidth=1.6, label=name)
    for number, phase in enumerate(phases):
        if phase["all"]["refused"] + phase["all"]["failed"] and phase["main"]["p50_ms"] is not None:
            axes.scatter(
                across[number], phase["main"]["p50_ms"], s=110, facecolors="none", edgecolors=REFUSED, zorder=3
            )
    axes.scatter([], [], s=70, facecolors="none", edgecolors=REFUSED, label="some refused or failed")
    if (knee := result["knee"]) is not None:
        axes.axvline(across[knee], color=INK, linewidth=1, linestyle="--")
        axes.annotate(
            f"knee: {across[knee]:g}/s",
            (across[knee], 1),
            xycoords=("data", "axes fraction"),
            xytext=(-6, -4),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=9,
        )
    logarithmic(axes, axes.yaxis)
    axes.set(xlabel="good answers a second (right and low is better)", ylabel="latency, ms", xlim=(0, None))
    axes.set_title(f"Throughput against latency, {REQUEST_KINDS[result['main_kind']]}")
    legend(axes, 4)


def distribution(axes: Axes, run: Run) -> None:
    """Draw for each request kind which share of its requests was answered within a time."""
    result = run.result
    scenario = Scenario.from_dict(result["scenario"])
    for request_kind in result["mix"]:
        ordered = metrics.latencies_ms(run.records, scenario, request_kind=request_kind)
        if len(ordered) and request_kind != BAD:
            share = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
            main = request_kind == result["main_kind"]
            colour = _REQUEST_COLOURS[request_kind]
            axes.step(
                ordered,
                share,
                where="post",
                color=colour,
                linewidth=2.2 if main else 1.2,
                label=in_words(request_kind),
            )
    main_metrics = result["figures"]["kinds"][result["main_kind"]]
    for metric, (name, _, _) in _LINES.items():
        if main_metrics["intervals_ms"][metric]:
            height = 100 * metrics.PERCENTILES[metric]
            axes.plot(main_metrics[metric], height, "o", color=INK, markersize=4, zorder=4)
            axes.annotate(
                f"{name} {main_metrics[metric]:g} ms",
                (main_metrics[metric], height),
                xytext=(8, -9),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
    logarithmic(axes, axes.xaxis)
    axes.set_xlim(right=1.25 * axes.get_xlim()[1])  # room for the names of the percentiles
    axes.set(xlabel="latency, ms", ylabel="answered within, %", ylim=(0, 104))
    axes.set_title("Share of requests that were answered within a time")
    legend(axes, 2)


def main_chart(result: RunDocument) -> Draw:
    """Return what says most about a scenario: the curve with the knee, or the distribution."""
    return throughput_against_latency if len(result["figures"]["phases"]) > 3 else distribution


def draw(chart: Draw, run: Run, width: float, height: float) -> Figure:
    """Return a figure with one chart."""
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    chart(axes, run)
    return figure


def _draw_limits(axes: Axes, result: RunDocument) -> None:
    """Mark the targets of the main request kind where they hold for the whole run."""
    for verdict in result["verdicts"]:
        if verdict["metric"] in _LINES and verdict["kind"] == result["main_kind"] and not verdict["phase"]:
            axes.axhline(verdict["limit"], color=FAILED, linewidth=0.9, linestyle=(0, (6, 4)))
            axes.annotate(
                f"target {_LINES[verdict['metric']][0]} {verdict['operator']} {verdict['limit']:g} ms",
                (1, verdict["limit"]),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=8,
                color=FAILED,
            )


def _draw_phases(axes: Axes, result: RunDocument, names: bool = True) -> None:
    scenario = Scenario.from_dict(result["scenario"])
    for number, (phase, start) in enumerate(zip(scenario.phases, scenario.starts(), strict=True)):
        if not phase.measured:
            axes.axvspan(start, start + phase.seconds, color="#f1f3f4", zorder=0)
        if number:
            axes.axvline(start, color="#bdc1c6", linewidth=0.8)
        if names and phase.seconds > _NARROW * scenario.seconds:
            axes.annotate(
                phase.name,
                (start, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -2),
                textcoords="offset points",
                va="top",
                fontsize=8,
                color=QUIET,
                clip_on=True,
            )
