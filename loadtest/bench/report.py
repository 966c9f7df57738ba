"""What people look at: a table, a picture, a page that holds both; and the copy of them that the documents quote.

All of it is made from a result as bench.json has it, so that a document can be held against the file that it quotes.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadtest.bench.contenders import LITE0, LITE0_FP32, OURS, OURS_FP32, PLAIN
from loadtest.bench.result import Case, Measured, Result
from loadtest.errors import LoadTestError
from loadtest.measure import machine

JSON, PNG, HTML = "bench.json", "bench.png", "bench.html"
# In a document, what stands between `<!-- make bench PART: begin -->` and `... end -->` is written by `publish`.
_PART = re.compile(r"(<!-- make bench (all|goals|目标): begin -->\n)(.*?)(\n<!-- make bench \2: end -->)", re.DOTALL)
# How the Chinese documents say verdicts and units; the goals' names stand in the document itself.
_CHINESE = {"met": "达到", "MISSED": "未达到"}
_NAMES = {
    OURS: "**this service**, INT8", OURS_FP32: "this service, FP32", LITE0: "this service, lite0 INT8",
    LITE0_FP32: "this service, lite0 FP32", PLAIN: "Flask's own server with TorchScript, FP32",
}  # fmt: skip
_Column = tuple[str, Callable[[Measured], float | None], str, bool]


def _case(case: Case, figure: str) -> Callable[[Measured], float | None]:
    return lambda row: statistics.median(row["cases"][case][figure]) if case in row["cases"] else None


# A column: its head, its figure, its unit and digits, and whether documents have it.
_COLUMNS: list[_Column] = [
    ("alone, p50", _case("small 1", "p50_ms"), "{:,.1f} ms", True),
    ("12 megapixels", _case("large 1", "p50_ms"), "{:,.0f} ms", True),
    ("PNG", _case("png 1", "p50_ms"), "{:,.0f} ms", False),
    ("1 client", _case("small 1", "per_sec"), "{:,.0f}/s", False),
    ("4", _case("small 4", "per_sec"), "{:,.0f}/s", False),
    ("16 clients", _case("small 16", "per_sec"), "{:,.0f}/s", True),
    ("their p50", _case("small 16", "p50_ms"), "{:,.0f} ms", False),
    ("their p99", _case("small 16", "p99_ms"), "{:,.0f} ms", True),
    ("64", _case("small 64", "per_sec"), "{:,.0f}/s", False),
    ("memory", lambda row: row["memory_mb"], "{:,.0f} MB", True),
    ("start", lambda row: row["start_sec"], "{:,.2f} s", True),
]


def _rows(result: Result, columns: Sequence[_Column]) -> list[list[str]]:
    rows = [["", *(head for head, *_ in columns)]]
    for name, row in result["measured"].items():
        figures = [(figure(row), form) for _, figure, form, _ in columns]
        rows.append([name, *("" if value is None else form.format(value) for value, form in figures)])
    return rows


def table(result: Result) -> str:
    """Return everything as text."""
    rows = _rows(result, _COLUMNS)
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    lines = [row[0].ljust(widths[0]) + "".join(map(str.rjust, row[1:], widths[1:])) for row in rows]
    goals = [f"{word:<8}{name}: {measured}, target {condition}" for name, measured, condition, word in _goals(result)]
    return "\n".join([_where(result), "", *lines, "", *_sentences(result), "", *goals])


def markdown(result: Result) -> str:
    """Return what documents quote: the machine, the contenders, the overload, every goal with its verdict."""
    contenders = _rows(result, [column for column in _COLUMNS if column[3]])
    contenders = [[_NAMES.get(name, name), *cells] for name, *cells in contenders if any(cells[:2])]  # no ceilings
    where, goals = markdown_goals(result).split("\n\n")
    return "\n\n".join([where, _md(contenders), *_sentences(result), goals])


def markdown_goals(result: Result) -> str:
    """Return the machine, and every goal with its verdict."""
    return f"Measured on {_where(result)}.\n\n{_md([['goal', 'measured', 'target', ''], *_goals(result)])}"


def _chinese_goals(result: Result, old: str) -> str:
    """Return the same in Chinese; the goals' names are those of the table that is there, in the same order."""
    _, _, *rows = re.findall(r"^\|.*\|$", old, re.MULTILINE)
    goals = [["目标", "实测", "要求", ""]]
    for (_, *cells), row in zip(_goals(result), rows, strict=True):
        goals.append(
            [row.split("|")[1].strip(), *(_CHINESE.get(cell, cell).replace(" times", " 倍") for cell in cells)]
        )
    return f"测量环境：{_where(result)}。\n\n{_md(goals)}"


def quote(text: str, result: Result) -> str:
    """Return a document with its parts written anew; without any it stays as it is.

    Raises:
        ValueError: a Chinese table has not as many rows as there are goals.
    """
    parts = {"all": markdown, "goals": markdown_goals}

    def part(found: re.Match[str]) -> str:
        begin, name, old, end = found.groups()
        return begin + (parts[name](result) if name in parts else _chinese_goals(result, old)) + end

    return _PART.sub(part, text)


def _md(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _goals(result: Result) -> list[list[str]]:
    """Return each goal with what was measured, the target, and the verdict, in words."""
    whys = [f" ({goal['why']})" if goal["why"] else "" for goal in result["goals"]]
    return [
        [goal["name"], goal["value"] + why, goal["condition"], goal["verdict"]]
        for goal, why in zip(result["goals"], whys, strict=True)
    ]


def _where(result: Result) -> str:
    where = result["machine"]
    return f"{machine.in_words(where)}, Python {where['python']}; commit {where['commit']}, {result['when'][:10]}"


def _sentences(result: Result) -> list[str]:
    over, decoding = result["overload"], result["decoding"]

    def ms(value: float | None) -> str:
        return "?" if value is None else f"{value:.0f} ms"

    overload = (
        f"Ten times the rated load of {over['rated_per_sec']:.0f} a second: goodput {over['goodput_to_rated']:.0%} of "
        f"rated, accepted p99 {ms(over['accepted_p99_ms'])} (rated {ms(over['rated_p99_ms'])}), {over['refused']:,} "
        f"refused (p99 {ms(over['refused_p99_ms'])}), slowest probe {ms(over['probes_max_ms'])}, lost "
        f"{over['lost'] or 'nothing'}, workers {'kept' if over['workers_kept'] else 'LOST'}."
    )
    decoded = (
        f"A JPEG of 12 megapixels decoded: torchvision's preset {ms(decoding['full_ms'])}, at a reduced scale "
        f"{ms(decoding['scaled_ms'])}, {decoding['ratio']:.1f} times faster, {decoding['difference']:.2f} grey levels "
        "of mean difference."
    )
    return [overload, decoded]


def publish(saved: Path, repository: Path) -> list[Path]:
    """Copy a run's JSON and picture to docs/ and write what documents quote of it; returns the documents.

    Raises:
        LoadTestError: nothing was saved there.
    """
    try:
        result = json.loads((saved / JSON).read_text("utf-8"))
        markdown(result)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LoadTestError(f"{saved / JSON} is no saved benchmark: make bench writes one.") from error
    documents = (*repository.glob("*.md"), *repository.glob("docs/*.md"))
    texts = {document: document.read_text("utf-8") for document in documents}
    try:
        changed = {document: quote(text, result) for document, text in texts.items() if _PART.search(text)}
    except ValueError as error:
        raise LoadTestError(f"A Chinese table has not a row for each goal: write its names first ({error}).") from error
    for document, text in changed.items():
        document.write_text(text, "utf-8")
    for name in (JSON, PNG):
        shutil.copyfile(saved / name, repository / "docs" / name)
    return [*changed]


def save(result: Result, output: Path) -> None:
    """Write JSON, PNG and HTML."""
    output.mkdir(parents=True, exist_ok=True)
    (output / JSON).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", "utf-8")
    picture = plot(result)
    (output / PNG).write_bytes(picture)
    (output / HTML).write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Benchmark</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:90rem;margin:2rem auto;padding:0 1rem}"
        "img{max-width:100%}pre{background:#f3f6fc;padding:1rem;border-radius:.75rem;overflow-x:auto}</style>"
        "<h1>Benchmark</h1><img alt='Throughput, latency, and the goals' "
        f"src='data:image/png;base64,{base64.b64encode(picture).decode()}'>"
        f"<pre>{html.escape(table(result))}</pre></html>",
        "utf-8",
    )


def plot(result: Result) -> bytes:
    """Return a PNG: throughput by clients, the 99th percentile against throughput, and how far each goal was met."""
    from matplotlib import pyplot as plt

    from loadtest.show import drawing

    clients = result["clients"]
    with drawing.style():
        figure = plt.figure(figsize=(13, 11), layout="constrained")
        halves: Any = figure.subfigures(2, 1)
        left, right = halves[0].subplots(1, 2)
        for name, row in result["measured"].items():
            if "small 1" not in row["cases"]:
                continue
            line = "--" if name.endswith("fp32") else "-"
            style: Any = {"color": row["colour"], "marker": "o", "markersize": 4, "linestyle": line}
            rates: Any = [_case(f"small {count}", "per_sec")(row) for count in clients]
            p99: Any = [_case(f"small {count}", "p99_ms")(row) for count in clients]
            left.plot(range(len(clients)), rates, label=name, **style)
            right.plot(rates, p99, **style)
        loop = _case("small 16", "per_sec")(result["measured"]["loop int8"]) or 0.0
        left.axhline(loop, color="#0b57d0", linewidth=0.8, linestyle=":")
        left.annotate("INT8 in a loop, without HTTP", (0, loop), color="#0b57d0", va="bottom", fontsize=9)
        left.set(xticks=range(len(clients)), xticklabels=clients, xlabel="clients", ylabel="pictures a second")
        left.set_ylim(0, 1.1 * max(loop, left.get_ylim()[1]))  # room for the name of the line
        left.set_title("Throughput")
        left.legend(ncols=2, fontsize=8)
        right.set(xlabel="pictures a second (right and low is better)", ylabel="p99, ms")
        right.set_title("The 99th percentile against throughput")
        drawing.logarithmic(right, right.yaxis)
        _draw_goals(halves[1].subplots(), result)
        figure.suptitle(f"{_where(result)}; {result['bundle']}", fontsize=10)
        return drawing.to_bytes(figure)


def _draw_goals(axes: Any, result: Result) -> None:
    """Draw a bar for each goal: how much better or worse than its limit, in powers of two, cut off at four times."""
    for number, goal in enumerate(reversed(result["goals"])):
        colour = "#137333" if goal["met"] else "#b3261e"
        share = (goal["measured"] or 0.0) / goal["limit"] if goal["limit"] else float(1 + bool(goal["measured"]))
        better = math.log2(max(share, 1e-3)) * (1 if goal["operator"] == ">=" else -1)
        if goal["measured"] is not None:
            axes.barh(number, max(-2.0, min(2.0, better)), color=colour, height=0.62, alpha=0.85)
        text = f"{goal['verdict']}  {goal['value']}, target {goal['condition']}"
        axes.annotate(text, (2.1, number), color=colour, va="center", fontsize=9, annotation_clip=False)
    axes.axvline(0, color="#1f1f1f", linewidth=1)
    axes.grid(visible=False)
    axes.set(xlim=(-2, 4), ylim=(-0.7, len(result["goals"]) - 0.3), xlabel="worse than its limit | better")
    axes.set_xticks([-2, -1, 0, 1, 2], ["4 times", "2 times", "limit", "2 times", "4 times"])
    axes.set_yticks(range(len(result["goals"])), [goal["name"] for goal in reversed(result["goals"])])
    axes.set_title(f"Goals: {sum(not goal['met'] for goal in result['goals'])} of {len(result['goals'])} missed")
