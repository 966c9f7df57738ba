"""A run in the terminal: what a person reads in ten seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadtest.judge import results
from loadtest.judge.document import ErrorDocument, RunDocument, Values
from loadtest.judge.metrics import PERCENTILES
from loadtest.measure.answers import LOST_WORKER
from loadtest.plan import mix


def headline(result: RunDocument) -> str:
    """Return the verdict in one sentence."""
    verdicts = result["verdicts"]
    missed = sum(not verdict["met"] for verdict in verdicts)
    if result.get("interrupted"):
        return f"Interrupted: {missed} of {len(verdicts)} targets {'is' if missed == 1 else 'are'} missed so far"
    if not missed:
        return {1: "The target is met", 2: "Both targets are met"}.get(
            len(verdicts), f"All {len(verdicts)} targets are met"
        )
    sentence = f"{missed} of {len(verdicts)} targets {'is' if missed == 1 else 'are'} missed"
    return f"{sentence}, times alone" if result.get("only_late") else sentence


def load_in_words(result: RunDocument) -> str:
    """Return what was sent, such as "5 requests a second for 90 s"."""
    scenario = result["scenario"]
    measured = [phase for phase in scenario["phases"] if phase["measured"]]
    seconds = sum(phase["seconds"] for phase in measured)
    if any(phase["clients"] for phase in measured):
        counts = [phase["clients"] for phase in measured]
        what = f"{_range(counts)} clients that wait for their answers"
    else:
        what = f"{_range([phase['per_sec'] for phase in measured])} requests a second"
        what += ", randomly spaced," if scenario["spacing"] == "poisson" else ""
    return f"{what} for {seconds:g} s"


def service_in_words(result: RunDocument) -> str:
    """Return which code answered."""
    service = result["conditions"]["service"]
    names = {"version": "version", "commit": "commit", "python": "Python"}
    return ", ".join(f"{word} {service[key]}" for key, word in names.items() if key in service)


def model_in_words(conditions: Mapping[str, Any]) -> str:
    """Return which model answered."""
    model = conditions["service"]["model"]
    return ", ".join(str(model[key]) for key in ("architecture", "weights", "precision", "engine") if model.get(key))


def warnings(result: RunDocument) -> list[str]:
    """Return what limits the run's worth: a stand-in model, a generator that was late, a shared machine."""
    notes = []
    conditions, figures = result["conditions"], result["figures"]["all"]
    weights = conditions["service"]["model"].get("weights")
    if weights in ("digits", "untrained"):
        what = (
            "a small stand-in that knows handwritten digits" if weights == "digits" else "a network of random weights"
        )
        notes.append(f"The model under test is {what}, not the one that people will use.")
    if conditions["local"]:
        notes.append("The load came from the machine that served it; both shared its processors.")
    generator = conditions["generator"]
    if results.generator_was_late(generator):
        busiest = max(generator["cpu_share"].values(), default=0.0)
        late = generator.get("late_ms", {}).get("p95", 0.0)
        due = sum(phase["seconds"] * phase["per_sec"] for phase in result["scenario"]["phases"] if phase["measured"])
        sent = (
            f"it sent {figures['sent']:,} requests where {due:,.0f} were due; " if due * 0.95 > figures["sent"] else ""
        )
        notes.append(
            f"The load generator could not keep up: {sent}it used {busiest:.0%} of a processor and was {late:g} ms "
            "late itself (95th percentile), which is in these latencies. Spread the load with --processes or workers "
            "(docs/loadtest.md)."
        )
    elif result["lag_ms"] and result["lag_ms"]["p99"] > 10:
        notes.append(
            f"One in a hundred requests was sent {result['lag_ms']['p99']:g} ms late or more; latencies include that."
        )
    phases = [phase for phase in result["scenario"]["phases"] if phase["measured"]]
    due, fastest = sum(p["seconds"] * p["per_sec"] for p in phases), max((p["per_sec"] for p in phases), default=0.0)
    left = round(due) - figures["offered"]
    if result.get("interrupted") and left > max(1.0, 0.1 * fastest):  # a phase that was cut is so long to 0.1 s
        notes.append(f"When the test was interrupted, some {left:,} requests had no answer yet: they are not in here.")
    lost = sum(error["count"] for error in result["errors"] if error["reason"] == LOST_WORKER)
    if lost:
        notes.append(f"A worker of the load test was lost: {lost:,} requests that it had to send count as failed.")
    return notes


def terminal(result: RunDocument) -> str:
    """Return the summary of a run."""
    conditions, figures = result["conditions"], result["figures"]
    everything = figures["all"]
    service = conditions["service"]
    lines = [
        f"{headline(result).upper()}   {result['scenario']['name']}: {load_in_words(result)}",
        f"  {conditions['host']}  {model_in_words(conditions)}, version {service['version']}",
        "",
    ]
    lines += [f"  {'met   ' if verdict['met'] else 'MISSED'}  {verdict['text']}" for verdict in result["verdicts"]]
    lines += ["", f"  {'':<34}{'sent':>8}{'good':>8}{'refused':>9}{'failed':>8}{'p50':>9}{'p95':>9}{'p99':>9}  ms"]
    if len(figures["phases"]) > 1:
        for number, phase in enumerate(figures["phases"]):
            name = phase["name"] + ("  <- knee" if number == result["knee"] else "")
            lines.append(_row(name, phase["all"]))
    else:
        lines += [_row(mix.in_words(request_kind), metrics) for request_kind, metrics in figures["kinds"].items()]
    lines.append(_row("all", everything))
    lines += _errors(result["errors"])
    notes = warnings(result)
    if notes:
        lines += ["", *(f"  Note: {note}" for note in notes)]
    return "\n".join(lines)


def _row(name: str, metrics: Values) -> str:
    known = {key: metrics[key] for key in PERCENTILES if metrics["intervals_ms"][key]}  # the others had too few samples
    times = "".join(f"{format(known[key], '.1f') if key in known else '-':>9}" for key in PERCENTILES)
    return (
        f"  {name:<34.34}{metrics['sent']:>8}{metrics['good']:>8}{metrics['refused']:>9}{metrics['failed']:>8}{times}"
    )


def _errors(errors: list[ErrorDocument], most: int = 5) -> list[str]:
    if not errors:
        return []
    lines = [""]
    for item in errors[:most]:
        detail = f": {item['detail']}" if item["detail"] else ""
        lines.append(f"  {item['count']:>6} {item['outcome']}, {item['reason']}{detail}"[:160])
    if len(errors) > most:
        lines.append(f"  and {len(errors) - most} more kinds of error; the report lists them")
    return lines


def _range(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
