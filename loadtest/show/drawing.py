"""How everything is drawn: the colours, the style, axes in powers of ten, and a figure as a file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

GOOD, REFUSED, FAILED, QUIET, INK = "#0b57d0", "#e37400", "#b3261e", "#80868b", "#1f1f1f"
_DPI = 120
_LEGEND_INCHES = 0.52  # below the axes: tick labels and the axis' name

mpl.use("Agg")
_STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#bdc1c6",
    "axes.labelcolor": "#444746",
    "xtick.color": "#444746",
    "ytick.color": "#444746",
    "axes.grid": True,
    "grid.color": "#e8eaed",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "path",  # looks alike whatever fonts the reader has
    "svg.hashsalt": "loadtest",  # or names inside would differ from time to time
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the reports for the duration of the block."""
    with mpl.rc_context(cast(Any, _STYLE)):
        yield


def to_bytes(figure: Figure, file_format: str = "png") -> bytes:
    """Return a figure as a file, and close it."""
    buffer = io.BytesIO()
    # Without a date two reports of the same run are equal.
    figure.savefig(buffer, format=file_format, dpi=_DPI, metadata={"Date": None} if file_format == "svg" else None)
    plt.close(figure)
    return buffer.getvalue()


def legend(axes: Axes, columns: int) -> None:
    """Put the legend below the axis' name, whatever the height of the axes."""
    if not axes.get_legend_handles_labels()[0]:
        return  # nothing was drawn
    below = ScaledTranslation(0, -_LEGEND_INCHES, axes.figure.dpi_scale_trans)
    legend = axes.legend(
        ncols=columns,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axes.transAxes + below,
        borderaxespad=0,
        borderpad=0,
        columnspacing=1.4,
        markerscale=1.6,
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)


def logarithmic(axes: Axes, axis: Axis) -> None:
    """Label 1, 2 and 5 of every power of ten."""
    if not np.max(axis.get_data_interval()) > 0:
        return  # nothing was drawn, or nothing above 0
    (axes.set_yscale if axis is axes.yaxis else axes.set_xscale)("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
