"""What was found of each network: what no other beats, what it costs, which one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The stacks' machine types: processors of sustained time, dollars an hour of machine and memory, list prices in
# us-central1. A test compares them with infra's own table.
MACHINES = {"e2-medium Spot": (1.0, 0.020106), "t2d-standard-2": (2.0, 0.084492)}
# The most accurate network that is at least so fast, beside the fastest, is recommended.
_FAST_ENOUGH = 0.5


@dataclass(frozen=True)
class Result:
    """One network in one precision on this machine.

    Attributes:
        network: its row of the table, as a person would ask for it.
        weights_here: whether it ran with its own weights; otherwise random ones, which are as fast.
        refused: whether the accuracy gate of its bundle does not allow this precision.
        pictures_per_sec: files to labels on all processors at once, without HTTP.
        lone_ms: file to labels on an idle machine, the median.
        memory_mb: the most that a process with this network alone took.
        size_mb: the files that its engine reads, 10^6 bytes.
        accuracy: share of 1 of pictures whose likeliest label is right.
        measured: whether that was counted here, on pictures that calibration did not see; otherwise as published.
    """

    network: str
    precision: str
    engine: str
    weights_here: bool
    refused: bool
    pictures_per_sec: float
    lone_ms: float
    memory_mb: float
    size_mb: float
    accuracy: float | None
    measured: bool
    processors: int

    @property
    def name(self) -> str:
        """Return the network with its precision."""
        return f"{self.network} {self.precision.upper()}"

    def dollars_per_million(self, machine: str) -> float:
        """Return what a million pictures cost on a machine type whose processors are as fast as these here."""
        processors, dollars_per_hour = MACHINES[machine]
        per_hour = 3600 * self.pictures_per_sec * processors / self.processors
        return 1e6 * dollars_per_hour / per_hour


def comparable(results: Sequence[Result]) -> list[Result]:
    """Return those whose accuracy can be compared: all measured here or, where none is, all as published.

    Without those that a gate refused: theirs is not what was published.
    """
    known = [result for result in results if result.accuracy is not None and not result.refused]
    measured = [result for result in known if result.measured]
    return measured or known


def unbeaten(results: Sequence[Result]) -> list[Result]:
    """Return those that no other beats: none is as good in speed and accuracy, and better in one (Pareto)."""
    known = comparable(results)
    return [one for one in known if not any(_beats(other, one) for other in known)]


def _beats(one: Result, other: Result) -> bool:
    ours = (one.pictures_per_sec, one.accuracy or 0)
    theirs = (other.pictures_per_sec, other.accuracy or 0)
    return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))


def recommend(results: Sequence[Result]) -> str:
    """Return in one sentence which network to take on this machine, and why."""
    usable = comparable(results)
    candidates = [result for result in usable if result.weights_here] or usable
    if not candidates:
        return "No network can be recommended: none of those that ran has a known accuracy."
    fastest = max(result.pictures_per_sec for result in candidates)
    fast = [result for result in candidates if result.pictures_per_sec >= _FAST_ENOUGH * fastest]
    best = max(fast, key=lambda result: (result.accuracy or 0, result.pictures_per_sec))
    kind = "measured" if best.measured else "published"
    sentence = (
        f"Take {best.name} on this machine: {best.pictures_per_sec:.0f} pictures a second at {best.accuracy:.1%} "
        f"({kind}), the most accurate of those at least half as fast as the fastest"
    )
    if not best.weights_here:
        sentence += ", though its weights cannot be had here"
    top = max(candidates, key=lambda result: result.accuracy or 0)
    if (top.accuracy or 0) > (best.accuracy or 0):
        points = 100 * ((top.accuracy or 0) - (best.accuracy or 0))
        share = top.pictures_per_sec / best.pictures_per_sec
        sentence += f"; {top.name} is right in {points:.1f} points more, at {share:.2f} times the speed"
    return sentence + "."


def table(results: Sequence[Result], failures: Sequence[tuple[str, str]]) -> str:
    """Return everything as lines for a terminal, the fastest first; at the end what could not be built, and why."""
    best = unbeaten(results)
    heads = ["", "pictures/s", "alone", "memory", "size", "top-1", *(f"$/million, {name}" for name in MACHINES)]
    rows = [heads]
    for result in sorted(results, key=lambda result: -result.pictures_per_sec):
        accuracy = "-" if result.accuracy is None else f"{result.accuracy:.1%}{'' if result.measured else ' p'}"
        rows.append(
            [
                f"{'*' if result in best else ' '} {result.name}{'' if result.weights_here else ' (random)'}",
                f"{result.pictures_per_sec:.0f}",
                f"{result.lone_ms:.1f} ms",
                f"{result.memory_mb:.0f} MB",
                f"{result.size_mb:.1f} MB",
                accuracy + ("!" if result.refused else ""),
                *(f"{result.dollars_per_million(machine):.2f}" for machine in MACHINES),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    lines += [f"  {name}: {reason}" for name, reason in failures]
    notes = ["* no other is better in speed and accuracy."]
    if any(result.accuracy is not None and not result.measured for result in results):
        notes.append("p: as published, for FP32.")
    if any(not result.weights_here for result in results):
        notes.append("random: its weights cannot be had here; random ones are as fast.")
    if any(result.refused for result in results):
        notes.append("!: its accuracy gate refused this precision.")
    notes.append("Dollars: the machine alone, if its processors are as fast as these here.")
    return "\n".join([*lines, " ".join(notes)])
