"""What people look at: a page that needs no other host, and a picture for a chat or a slide."""

from __future__ import annotations

import base64
import textwrap
from pathlib import Path
from typing import Any

import jinja2
from matplotlib import pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import FancyBboxPatch

from loadtest.judge import saved
from loadtest.judge.document import RunDocument, Values, VerdictDocument
from loadtest.judge.results import Run
from loadtest.judge.targets import text
from loadtest.measure import machine
from loadtest.plan import mix
from loadtest.show import charts, drawing, summary

_TEMPLATES = Path(__file__).with_name("templates")
_VERDICTS_IN_PICTURE = 8


def save(run: Run, folder: Path) -> None:
    """Write report.html and report.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / saved.HTML).write_text(page(run), "utf-8")
    (folder / saved.PNG).write_bytes(picture(run))


def page(run: Run) -> str:
    """Return one self-contained HTML page."""
    result = run.result
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    with drawing.style():
        drawn = [
            (_svg(charts.main_chart(result), run, 5.4), "Throughput, or how latency is distributed"),
            (_svg(charts.latency_over_time, run, 5.4), "Latency over time"),
            (_svg(charts.answers_over_time, run, 3.6), "Answers over time"),
        ]
    return environment.get_template("report.html").render(
        result=result,
        headline=summary.headline(result),
        load=summary.load_in_words(result),
        service=summary.service_in_words(result),
        model=summary.model_in_words(result["conditions"]),
        warnings=summary.warnings(result),
        tiles=tiles(result),
        charts=drawn,
        machine=machine.in_words(result["conditions"]["machine"]),
        in_words=mix.in_words,
        mix=mix.text(result["mix"]),
        measured=_measured,
        known=known,
        limits=limits,
    )


def tiles(result: RunDocument) -> list[tuple[str, str, str]]:
    """Return the metrics that matter most: value, unit, and of what."""
    everything, main = result["figures"]["all"], result["figures"]["kinds"][result["main_kind"]]
    name, where = mix.REQUEST_KINDS[result["main_kind"]], ""
    rate = (everything["goodput_per_sec"], "good answers")
    if result["knee"] is not None:  # percentiles over all steps would say nothing
        step = result["figures"]["phases"][result["knee"]]
        main, where = step["main"], " at the knee"
        rate = (step["all"]["goodput_per_sec"], "good answers at the knee")
    times = [(known(main, f"p{n}_ms") or "–", "ms", f"p{n}, {name}{where}") for n in (50, 95, 99)]
    return [
        *times,
        ("–" if rate[0] is None else f"{rate[0]:g}", "/s", rate[1]),
        (f"{everything['refused']:,}", "", f"of {everything['sent']:,} refused (429)"),
        (f"{everything['failed']:,}", "", f"of {everything['sent']:,} failed"),
    ]


def known(metrics: Values, metric: str) -> str:
    """Return a percentile, "" where its samples are too few to know it."""
    return f"{metrics[metric]:.1f}" if metrics["intervals_ms"][metric] else ""


def limits(metrics: Values, metric: str) -> str:
    """Return a percentile's 95 % confidence interval, "" where it is not known."""
    interval = metrics["intervals_ms"][metric]
    return f"{interval[0]:.1f} to {interval[1]:.1f}" if interval else ""


def picture(run: Run) -> bytes:
    """Return the run as one PNG."""
    result = run.result
    with drawing.style():
        figure = plt.figure(figsize=(14, 10), layout=ConstrainedLayoutEngine(w_pad=0.16, h_pad=0.12))
        grid = figure.add_gridspec(3, 2, height_ratios=[0.85, 2.6, 1.7], width_ratios=[1.2, 1])
        _head(figure.add_subplot(grid[0, :]), result)
        charts.latency_over_time(figure.add_subplot(grid[1, 0]), run)
        charts.main_chart(result)(figure.add_subplot(grid[1, 1]), run)
        charts.answers_over_time(figure.add_subplot(grid[2, 0]), run)
        _verdicts(figure.add_subplot(grid[2, 1]), result)
        return drawing.to_bytes(figure)


def _head(axes: Any, result: RunDocument) -> None:
    conditions = result["conditions"]
    sender = conditions["machine"]
    colour = "#137333" if result["met"] else drawing.FAILED
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.text(0, 1, summary.headline(result), fontsize=21, fontweight="bold", color=colour, va="top")
    lines = [
        f"{result['scenario']['name']}: {summary.load_in_words(result)}",
        f"to {conditions['host']}, {conditions['when'][:10]} {conditions['when'][11:16]} UTC",
        f"{summary.model_in_words(conditions)}; version {conditions['service']['version']}",
        f"{'service and load on' if conditions['local'] else 'load from'} {sender['processor']}, {sender['cpus']} CPUs",
    ]
    axes.text(0, 0.62, "\n".join(lines), fontsize=9, color="#444746", va="top", linespacing=1.5)
    for number, (value, unit, name) in enumerate(tiles(result)):
        left = 0.52 + 0.081 * number
        style = "round,pad=0,rounding_size=0.006"
        box = FancyBboxPatch(
            (left, 0), 0.074, 1, boxstyle=style, mutation_aspect=9, facecolor="#f3f6fc", edgecolor="none"
        )
        axes.add_patch(box)
        axes.text(left + 0.008, 0.9, value, fontsize=16, fontweight="bold", color=drawing.INK, va="top")
        axes.text(
            left + 0.008, 0.6, f"{unit}\n{textwrap.fill(name, 12)}".strip(), fontsize=8.5, color="#444746", va="top"
        )


def _verdicts(axes: Any, result: RunDocument) -> None:
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_title("Targets")
    verdicts = sorted(result["verdicts"], key=lambda verdict: verdict["met"])
    for number, verdict in enumerate(verdicts[:_VERDICTS_IN_PICTURE]):
        top = 0.95 - number / (_VERDICTS_IN_PICTURE + 3)
        colour = "#137333" if verdict["met"] else drawing.FAILED
        axes.text(
            0, top, "met" if verdict["met"] else "MISSED", color=colour, fontweight="bold", fontsize=9, va="center"
        )
        axes.text(0.14, top, verdict["name"], fontsize=9, va="center")
        axes.text(0.77, top, _measured(verdict), fontsize=9, va="center", ha="right", fontweight="bold")
        axes.text(0.8, top, verdict["condition"], fontsize=9, va="center", color="#444746")
    left = len(verdicts) - _VERDICTS_IN_PICTURE
    notes = [f"{left} more targets are in report.html."] if left > 0 else []
    notes += summary.warnings(result)
    lines = [line for note in notes for line in textwrap.wrap(note, 95)]
    axes.text(0, -0.02, "\n".join(lines), fontsize=8.5, color="#444746", va="bottom", linespacing=1.4)


def _measured(verdict: VerdictDocument) -> str:
    return "–" if verdict["measured"] is None else text(verdict["metric"], verdict["measured"])


def _svg(chart: charts.Draw, run: Run, height: float) -> str:
    """Return a chart as the address of an image, for <img src>."""
    data = drawing.to_bytes(charts.draw(chart, run, 9.6, height), "svg")
    return "data:image/svg+xml;base64," + base64.b64encode(data).decode()
