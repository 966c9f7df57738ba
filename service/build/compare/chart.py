"""The comparison as a picture: speed against accuracy; needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import PercentFormatter

from service.build.compare.result import Result, comparable, unbeaten

_COLOURS = {"fp32": "#80868b", "int8": "#0b57d0"}


def draw(results: Sequence[Result], machine: str, file: Path) -> None:
    """Write a PNG: each network and precision a point, and a line through those that no other beats."""
    mpl.use("Agg")
    known = comparable(results)
    best = sorted(unbeaten(results), key=lambda result: result.pictures_per_sec)
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    axes.set_xscale("log")
    axes.step(
        [result.pictures_per_sec for result in best],
        [result.accuracy or 0 for result in best],
        where="pre",
        color="#188038",
        linewidth=1.5,
        zorder=1,
    )
    axes.scatter(
        [result.pictures_per_sec for result in best],
        [result.accuracy or 0 for result in best],
        s=160,
        facecolors="none",
        edgecolors="#188038",
        label="no other is better in both",
        zorder=1,
    )
    for precision, colour in _COLOURS.items():
        points = [result for result in known if result.precision == precision]
        axes.scatter(
            [result.pictures_per_sec for result in points],
            [result.accuracy or 0 for result in points],
            s=40,
            color=colour,
            label=precision.upper(),
            zorder=2,
        )
    for result in known:
        axes.annotate(
            result.network + ("" if result.weights_here else " (random)"),
            (result.pictures_per_sec, result.accuracy or 0),
            xytext=(0, 9),
            ha="center",
            textcoords="offset points",
            fontsize=8,
        )
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("pictures a second, file to labels, all processors, without HTTP (log)")
    kind = "measured here" if any(result.measured for result in known) else "as published, for FP32"
    axes.set_ylabel(f"right at the first label, {kind}")
    axes.set_title(f"Networks on {machine}", loc="left", fontweight="bold")
    axes.grid(visible=True, which="both", color="#e8eaed")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15, y=0.15)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=120)
    plt.close(figure)
