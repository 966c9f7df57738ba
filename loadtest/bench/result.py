"""What a benchmark measured, as bench.json and memory.json have it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from loadtest.measure.machine import Machine

# What is measured of a contender or a ceiling: such as "small 16", the picture and the number of clients.
Case = str
Rates = dict[str, dict[Case, list[float]]]  # by name: good answers a second, of each round
Latencies = dict[str, dict[Case, list[list[float]]]]  # by name: p50, p95 and p99 in milliseconds, of each round
Refusals = dict[str, dict[Case, list[int]]]  # by name: answers that were not good, of each round


class Overload(TypedDict):
    """What became of a server that was offered ten times its rated load. Times that are not known are NaN."""

    rated_per_sec: float
    rated_p50_ms: float
    rated_p99_ms: float
    rated_goodput: float  # good answers to offered requests, at the rated load
    offered_per_sec: float
    goodput_to_rated: float
    accepted_p99_ms: float
    accepted_p99_to_rated: float
    refused: int
    refused_p99_ms: float
    other: dict[str, int]  # answers that are neither 200 nor 429, by status; "0" is a connection that broke
    probes_max_ms: float
    workers_kept: bool


class Decoding(TypedDict):
    """torchvision's preset after a full decode, beside scaled decoding."""

    full_ms: float
    scaled_ms: float
    ratio: float
    difference: float  # grey levels, in the mean


class GoalVerdict(TypedDict):
    """A goal of the project, and what was measured."""

    name: str
    measured: float
    goal: float
    at_most: bool
    met: bool


class Result(TypedDict):
    """A whole benchmark; `goals` are added when it is saved."""

    machine: Machine
    packages: dict[str, str]
    rounds: int
    clients: list[int]
    picture_bytes: dict[str, int]
    bundle: str
    colours: dict[str, str]
    start_sec: dict[str, float]
    models: dict[str, dict[str, Any] | None]  # what /version says, None where there is no such page
    rates: Rates
    latencies_ms: Latencies
    refused: Refusals
    memory_mb: dict[str, float]  # proportional set size; NaN where /proc does not tell
    overload: Overload
    decoding: Decoding
    goals: NotRequired[list[GoalVerdict]]


class MemoryGrowth(TypedDict):
    """Memory after the warm-up and along many requests."""

    requests: int
    statuses: dict[str, int]
    first_mb: float
    along_mb: list[float]
    growth: float  # the highest beside the first: 0.01 is 1 %
