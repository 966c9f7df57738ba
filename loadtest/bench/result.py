"""What a benchmark measured, as bench.json has it. What is not known is null."""

from __future__ import annotations

from typing import Any, TypedDict

from loadtest.measure.machine import Machine

FIGURES = ("per_sec", "p50_ms", "p95_ms", "p99_ms", "others")  # good answers a second; answers that were not good
Case = str  # what is measured of a contender or a ceiling: the picture and the number of clients, such as "small 16"


class Measured(TypedDict):
    """What was measured of a contender, or of a ceiling (which neither starts nor weighs anything)."""

    colour: str
    start_sec: float | None
    memory_mb: float | None  # proportional set size
    model: dict[str, Any] | None  # what /version says, where there is such a page
    cases: dict[Case, dict[str, list[float]]]  # FIGURES, each a list with the value of every round


class Overload(TypedDict):
    """What became of a server that was offered ten times its rated load."""

    rated_per_sec: float
    rated_p99_ms: float | None
    offered_per_sec: float
    goodput_to_rated: float
    accepted_p99_ms: float | None
    refused: int
    refused_p99_ms: float | None
    lost: dict[str, int]  # answers that are neither 200 nor 429, by status; "0" is a connection that broke
    probes_max_ms: float | None
    workers_kept: bool


class Decoding(TypedDict):
    """torchvision's preset after a full decode, beside scaled decoding."""

    full_ms: float
    scaled_ms: float
    ratio: float
    difference: float  # grey levels, in the mean


class Result(TypedDict):
    """A whole benchmark; `goals` are verdicts (loadtest.measure.verdicts)."""

    when: str
    machine: Machine
    packages: dict[str, str]
    bundle: str
    rounds: int
    clients: list[int]
    picture_bytes: dict[str, int]
    measured: dict[str, Measured]  # by name
    overload: Overload
    decoding: Decoding
    goals: list[dict[str, Any]]
