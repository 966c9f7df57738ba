"""What people look at: a table, a plot, a page that holds both and asks no other host."""

from __future__ import annotations

import base64
import html
import io
import statistics
from collections.abc import Iterable

from loadtest.bench.goals import check
from loadtest.bench.result import Decoding, Overload, Result
from loadtest.measure import machine


def table(result: Result) -> str:
    """Return everything as text."""
    where, clients = result["machine"], result["clients"]
    lines = [
        f"{machine.in_words(where)}, Python {where['python']}, commit {where['commit']}",
        "",
        f"{'a second, small JPEG, by clients':<34}" + "".join(f"{count:>8}" for count in clients),
    ]
    for name, cases in result["rates"].items():
        lines.append(f"{name:<34}" + "".join(f"{_median(cases.get(f'small {count}')):>8}" for count in clients))
    lines += ["", f"{'milliseconds':<34}{'small':>8}{'12 MP':>8}{'PNG':>8}{'16: p50':>10}{'p95':>8}{'p99':>8}"]
    for name, latencies in result["latencies_ms"].items():
        if "small 1" in latencies:
            lone = "".join(f"{_quantile(latencies[f'{picture} 1'], 0):>8}" for picture in ("small", "large", "png"))
            busy = "".join(f"{_quantile(latencies['small 16'], index):>{8 if index else 10}}" for index in range(3))
            lines.append(f"{name:<34}{lone}{busy}")
    lines += ["", f"{'':<34}{'start':>8}{'memory':>10}"]
    for name, seconds in result["start_sec"].items():
        lines.append(f"{name:<34}{seconds:>6.2f} s{result['memory_mb'][name]:>7.0f} MB")
    lines += ["", _overload(result["overload"]), _decoding(result["decoding"]), "", *map(str, check(result))]
    return "\n".join(lines)


def goals_table(result: Result) -> str:
    """Return every goal, what was measured and the verdict as a Markdown table."""
    lines = ["| goal | measured | wanted | |", "|---|---|---|---|"]
    lines += [
        f"| {goal.name} | {goal.measured_in_words()} | {goal.condition} | {goal.verdict} |" for goal in check(result)
    ]
    return "\n".join(lines)


def _overload(over: Overload) -> str:
    workers = "kept" if over["workers_kept"] else "LOST"
    return (
        f"Overload: rated {over['rated_per_sec']:.0f} a second with p99 {over['rated_p99_ms']:.0f} ms. Offered "
        f"{over['offered_per_sec']:.0f}: goodput {over['goodput_to_rated']:.0%} of rated, accepted p99 "
        f"{over['accepted_p99_ms']:.0f} ms,\n  {over['refused']} refused (p99 {over['refused_p99_ms']:.0f} ms), "
        f"slowest probe {over['probes_max_ms']:.0f} ms, other answers {over['other'] or 'none'}, workers {workers}"
    )


def _decoding(times: Decoding) -> str:
    return (
        f"12 megapixels: torchvision's preset {times['full_ms']:.0f} ms, scaled decoding {times['scaled_ms']:.0f} ms, "
        f"{times['ratio']:.1f} times faster, {times['difference']:.2f} grey levels of mean difference"
    )


def _median(values: Iterable[float] | None) -> str:
    return f"{statistics.median(values):.0f}" if values else ""


def _quantile(rounds: list[list[float]], index: int) -> str:
    return f"{statistics.median(quantiles[index] for quantiles in rounds):.1f}"


def plot(result: Result) -> bytes:
    """Return the plot as PNG: throughput by clients, and latency against throughput."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    clients = result["clients"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for name, cases in result["rates"].items():
        if "small 1" not in cases:
            continue
        style = {
            "color": result["colours"][name],
            "marker": "o",
            "label": name,
            "linestyle": "--" if name.endswith("fp32") else "-",
        }
        rates = [statistics.median(cases[f"small {count}"]) for count in clients]
        left.plot(range(len(clients)), rates, **style)
        p99 = [statistics.median(q[2] for q in result["latencies_ms"][name][f"small {count}"]) for count in clients]
        right.plot(rates, p99, **style)
    loop = statistics.median(result["rates"]["loop int8"]["small 16"])
    left.axhline(loop, color="#0b57d0", linewidth=0.8, linestyle=":")
    left.annotate("INT8 in a loop, without HTTP", (0, loop), color="#0b57d0", va="bottom", fontsize=9)
    left.set(xticks=range(len(clients)), xticklabels=clients, xlabel="clients", ylabel="pictures a second")
    left.set_ylim(0, 1.1 * max(loop, left.get_ylim()[1]))  # room for the name of the line
    left.set_title("Throughput", loc="left")
    right.set(xlabel="pictures a second", ylabel="p99, ms", yscale="log")
    right.set_title("The 99th percentile against throughput (right and low is better)", loc="left")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside lower center", ncols=6)
    where = result["machine"]
    figure.suptitle(
        f"{where['processor']}, {where['cpus']} CPUs, {result['bundle']}, commit {where['commit']}", fontsize=10
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return buffer.getvalue()


def page(result: Result) -> str:
    """Return one self-contained HTML page."""
    picture = base64.b64encode(plot(result)).decode()
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Benchmark</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem}"
        "img{max-width:100%}pre{background:#f3f6fc;padding:1rem;border-radius:.75rem;overflow-x:auto}</style>"
        f"<h1>Benchmark</h1><img alt='Throughput and latency' src='data:image/png;base64,{picture}'>"
        f"<pre>{html.escape(table(result))}</pre></html>"
    )
