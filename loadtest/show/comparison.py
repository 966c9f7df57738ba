"""Two sides as people see them: what differs, by how much, and whether that is more than noise; as text and picture."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from loadtest.errors import writing
from loadtest.judge.compared import Difference, alternate, compare
from loadtest.judge.document import RunDocument
from loadtest.judge.saved import SavedRun, load_side
from loadtest.measure import machine
from loadtest.plan import mix
from loadtest.show import summary

_ONE_RUN = (
    "One run a side: the intervals hold the noise within these runs, not what changes from one run to the next (another"
    " start, other neighbours on the machine). Where one machine makes both, make pairs in alternation, A B A B A B,"
    " each into a folder of its own (before/1, after/1, before/2, ...), and compare before after."
)
_ENOUGH_PAIRS = 4  # from here on an interval is less than twice as wide as with any number of pairs of that spread
_FEW_PAIRS = "Two or three pairs of runs know little of how much pairs differ, so the intervals are wide: make five."
_NO_TURNS = "The runs did not take turns (A B A B ...): what changed in the meantime counts as a difference, too."


def command(first: Path, second: Path, output: Path | None) -> str:
    """Compare two sides, each a saved run or a folder of them; writes a picture to `output`, returns the text.

    Raises:
        LoadTestError: a side cannot be read, or they do not have equally many runs, or `output` cannot be written.
    """
    a, b = load_side(first), load_side(second)
    found, names = compare(a, b), (str(first), str(second))
    if output:
        with writing(output):
            output.write_bytes(plot(a, b, found, names))
    return table(a, b, found, names) + (f"\n\n  {output}" if output else "")


def table(a: Sequence[SavedRun], b: Sequence[SavedRun], found: Sequence[Difference], names: tuple[str, str]) -> str:
    """Return the comparison as text."""
    lines = [f"{letter}  {name}: {_what(side)}" for letter, name, side in zip("AB", names, (a, b), strict=True)]
    if differing := differences([run.result for run in (*a, *b)]):
        lines += ["", "  Not under the same conditions:", *(f"    {line}" for line in differing)]
    lines += ["", f"  {'':<42}{'A':>12}{'B':>12}{'B to A':>10}   95 % interval"]
    for item in found:
        values = "".join(f"{_value(item, value):>12}" for value in item.values)
        limits = " to ".join(_change(item, limit) for limit in item.limits) if item.limits else "too short to know"
        lines.append(f"  {item.name:<42}{values}{_change(item, item.change):>10}   {limits:<24}{item.verdict}")
    lines += ["", "  Of intervals of 95 % one in twenty is beside the truth by chance."]
    notes = [_ONE_RUN] if len(a) == 1 else [_FEW_PAIRS] if len(a) < _ENOUGH_PAIRS else []
    notes += [] if len(a) == 1 or alternate(a, b) else [_NO_TURNS]
    for note in notes:
        lines += textwrap.wrap(note, 118, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def differences(runs: Sequence[RunDocument]) -> list[str]:
    """Return what was not the same in all runs, so that nobody compares apples with oranges unawares."""
    looks: dict[str, Callable[[RunDocument], object]] = {
        "load": lambda run: f"{run['scenario']['name']}, {summary.load_in_words(run)}",
        "mix": lambda run: mix.text(run["mix"]),
        "model": lambda run: summary.model_in_words(run["conditions"]),
        "machine": lambda run: machine.in_words(run["conditions"]["machine"]),
        "address": lambda run: run["conditions"]["host"],
        "service commit": lambda run: run["conditions"]["service"].get("commit"),
        "ended before its time": lambda run: run.get("interrupted", False),
    }
    seen = {name: list(dict.fromkeys(str(look(run)) for run in runs)) for name, look in looks.items()}
    return [f"{name}: {' | '.join(values)}" for name, values in seen.items() if len(values) > 1]


def plot(a: Sequence[SavedRun], b: Sequence[SavedRun], found: Sequence[Difference], names: tuple[str, str]) -> bytes:
    """Return a PNG: the main kind's latency in every run, and each change with its interval and its pairs."""
    from matplotlib import pyplot as plt

    from loadtest.show import drawing

    main = a[0].result["main_kind"]
    colours = {"better": "#137333", "worse": drawing.FAILED}
    relative = [item for item in found if item.unit != "%"]
    with drawing.style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6), layout="constrained", width_ratios=[1, 1.1])
        for side, name, colour in ((a, f"A  {names[0]}", drawing.QUIET), (b, f"B  {names[1]}", drawing.GOOD)):
            for number, run in enumerate(side):
                chosen = (run.requests.outcome == "good") & (run.requests.kind == main)
                ordered = np.sort(run.requests.latency_ms[chosen])
                share = 100 * np.arange(1, len(ordered) + 1) / max(len(ordered), 1)
                label = name if not number else None
                left.step(ordered, share, where="post", color=colour, linewidth=2 if len(side) == 1 else 1, label=label)
        drawing.logarithmic(left, left.xaxis)
        left.legend(loc="lower right")
        left.set(xlabel="latency, ms", ylabel="answered within, %", ylim=(0, 104))
        left.set_title(f"Answered within a time: {mix.REQUEST_KINDS.get(main, main)}, a line for each run")
        for number, item in enumerate(reversed(relative)):
            colour = colours.get(item.verdict, drawing.QUIET)
            if item.limits:
                right.plot(100 * np.array(item.limits), [number, number], color=colour, linewidth=3)
            right.plot(100 * item.change, number, "o", color=colour, markersize=7)
            if len(item.pairs) > 1:
                right.plot(100 * np.array(item.pairs), [number - 0.22] * len(item.pairs), "|", color=drawing.INK)
            right.annotate(item.verdict, (1.01, number), xycoords=("axes fraction", "data"), va="center", color=colour)
        right.axvline(0, color=drawing.INK, linewidth=1)
        # Two pairs may have an interval of which no picture shows the end.
        ends = max([100 * abs(end) for item in relative for end in item.limits or ()], default=0.0)
        reach = min(ends, max([100.0, *(300 * abs(change) for item in relative for change in item.pairs)]))
        right.set_xlim(max(-105.0, -1.05 * max(reach, 2.0)), 1.05 * max(reach, 2.0))
        right.set_yticks(range(len(relative)), [item.name for item in reversed(relative)])
        right.set(xlabel="B to A, %; with 95 % intervals" + ("; small: each pair of runs" if len(a) > 1 else ""))
        right.set_ylim(-0.6, max(len(relative), 1) - 0.4)
        right.set_title("What changed")
        return drawing.to_bytes(figure)


def _value(item: Difference, value: float) -> str:
    return f"{100 * value:.2f} %" if item.unit == "%" else f"{value:.1f} {item.unit}".replace(" /s", "/s")


def _change(item: Difference, change: float) -> str:
    return f"{100 * change:+.2f}" if item.unit == "%" else f"{100 * change:+.1f} %"


def _what(side: Sequence[SavedRun]) -> str:
    first = side[0].result
    many = f"{len(side)} runs, " if len(side) > 1 else ""
    where, when = first["conditions"]["host"], first["conditions"]["when"][:16]
    return f"{many}{first['scenario']['name']}, {summary.load_in_words(first)}, {where}, {when} UTC"
