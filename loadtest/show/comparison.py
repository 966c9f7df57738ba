"""Two saved runs side by side: what changed, by how much, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib import pyplot as plt

from loadtest.judge.metrics import PERCENTILES
from loadtest.judge.targets import text
from loadtest.measure import machine
from loadtest.plan import mix
from loadtest.show import drawing, summary

_METRICS = (*PERCENTILES, "error_ratio", "refused_ratio", "goodput_ratio", "goodput_per_sec")
_LESS_IS_BETTER = {*PERCENTILES, "error_ratio", "refused_ratio"}


def table(a: dict[str, Any], b: dict[str, Any], names: tuple[str, str]) -> str:
    """Return the comparison as text; a difference is called one where the confidence intervals do not overlap."""
    lines = [f"A  {names[0]}: {_what(a)}", f"B  {names[1]}: {_what(b)}"]
    if differing := differences(a, b):
        lines += ["", "  Not under the same conditions:", *(f"    {line}" for line in differing)]
    lines += ["", f"  {'':<44}{'A':>12}{'B':>12}{'B to A':>10}"]
    for name, metric, x, y in compared_metrics(a, b):
        values = ["-" if side is None else text(metric, side[metric]) for side in (x, y)]
        lines.append(f"  {name:<44}{values[0]:>12}{values[1]:>12}{_change(metric, x, y)}")
    for label, result in (("A", a), ("B", b)):
        lines.append(f"  {label}: {summary.headline(result).lower()}")
    return "\n".join(lines)


def compared_metrics(
    a: dict[str, Any], b: dict[str, Any]
) -> list[tuple[str, str, dict[str, Any] | None, dict[str, Any] | None]]:
    """Return what is compared: a name, a metric, and the metrics of both, None where the metric is not known."""
    compared = []
    for request_kind in [
        request_kind
        for request_kind in mix.REQUEST_KINDS
        if request_kind in a["mix"] and request_kind in b["mix"] and request_kind != mix.BAD
    ]:
        for metric in PERCENTILES:
            pair = [run["figures"]["kinds"][request_kind] for run in (a, b)]
            known = [metrics if metrics["intervals_ms"][metric] else None for metrics in pair]
            if any(known):
                compared.append((f"{metric[:3]} of {mix.REQUEST_KINDS[request_kind]}", metric, known[0], known[1]))
    for metric in _METRICS[len(PERCENTILES) :]:
        pair = [run["figures"]["all"] for run in (a, b)]
        known = [metrics if metrics[metric] is not None else None for metrics in pair]
        compared.append((metric.replace("_per_sec", " a second").replace("_", " "), metric, known[0], known[1]))
    return compared


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Return what was not the same, so that nobody compares apples with oranges unawares."""
    looks: dict[str, Callable[[dict[str, Any]], Any]] = {
        "load": lambda run: f"{run['scenario']['name']}, {summary.load_in_words(run)}",
        "mix": lambda run: mix.text(run["mix"]),
        "model": summary.model_in_words,
        "machine": lambda run: machine.in_words(run["conditions"]["machine"]),
        "address": lambda run: run["conditions"]["host"],
        "service commit": lambda run: run["conditions"]["service"].get("commit"),
    }
    return [f"{name}: {look(a)} | {look(b)}" for name, look in looks.items() if look(a) != look(b)]


def plot(a: dict[str, Any], b: dict[str, Any], names: tuple[str, str]) -> bytes:
    """Return a PNG: how the latency of each request kind is distributed in both runs, and their percentiles as bars."""
    request_kinds = [
        request_kind
        for request_kind in mix.REQUEST_KINDS
        if a["curves"].get(request_kind) and b["curves"].get(request_kind) and request_kind != mix.BAD
    ]
    main = a["main_kind"] if a["main_kind"] in request_kinds else next(iter(request_kinds), None)
    with drawing.style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.6), layout="constrained", width_ratios=[1.3, 1])
        for run, name, colour in ((a, f"A  {names[0]}", drawing.QUIET), (b, f"B  {names[1]}", drawing.GOOD)):
            for request_kind in request_kinds:
                style = {"linewidth": 2.4, "label": name} if request_kind == main else {"linewidth": 0.9, "alpha": 0.5}
                left.plot(run["curves"][request_kind], range(101), color=colour, **style)
        if main:
            drawing.logarithmic(left, left.xaxis)
            left.legend(loc="lower right")
        left.set(xlabel="latency, ms", ylabel="answered within, %", ylim=(0, 104))
        left.set_title(f"Answered within a time: {mix.REQUEST_KINDS.get(main or '', '')} (thick), other kinds (thin)")
        _bars(right, a, b, main)
        return drawing.to_bytes(figure)


def _bars(axes: Any, a: dict[str, Any], b: dict[str, Any], main: str | None) -> None:
    for offset, run, colour in ((-0.2, a, drawing.QUIET), (0.2, b, drawing.GOOD)):
        metrics = run["figures"]["kinds"].get(main) or run["figures"]["all"]
        for number, metric in enumerate(PERCENTILES):
            limits = metrics["intervals_ms"][metric]
            if not limits:
                axes.text(number + offset, 0, "not\nknown", ha="center", va="bottom", fontsize=8, color=colour)
                continue
            value = metrics[metric]
            axes.bar(number + offset, value, 0.36, color=colour, alpha=0.85)
            axes.errorbar(
                number + offset,
                value,
                [[value - limits[0]], [limits[1] - value]],
                color=drawing.INK,
                linewidth=1,
                capsize=3,
            )
            axes.text(number + offset, limits[1], f"{value:g}", ha="center", va="bottom", fontsize=9)
    axes.set_xticks(range(len(PERCENTILES)), [metric[:3] for metric in PERCENTILES])
    axes.set(ylabel="ms")
    axes.set_title(f"Percentiles of {mix.REQUEST_KINDS.get(main or '', 'all')}, with 95 % confidence")


def _change(metric: str, a: dict[str, Any] | None, b: dict[str, Any] | None) -> str:
    if a is None or b is None:
        return f"{'':>10}"
    x, y = a[metric], b[metric]
    if metric not in PERCENTILES and metric != "goodput_per_sec":
        return f"{'same' if x == y else 'differs':>10}"
    change = f"{100 * (y / x - 1):+.1f} %" if x else ""
    if metric in PERCENTILES:
        (low_a, high_a), (low_b, high_b) = a["intervals_ms"][metric], b["intervals_ms"][metric]
        if low_a <= high_b and low_b <= high_a:
            return f"{change:>10}  within chance"
    better = (y < x) == (metric in _LESS_IS_BETTER)
    return f"{change:>10}" + ("" if x == y else "  better" if better else "  worse")


def _what(run: dict[str, Any]) -> str:
    conditions = run["conditions"]
    return (
        f"{run['scenario']['name']}, {summary.load_in_words(run)}, {conditions['host']}, {conditions['when'][:16]} UTC"
    )
