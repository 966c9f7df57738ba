"""A run as results.json has it. Its keys are the file's format, which other programs read."""

from __future__ import annotations

from typing import Any, TypedDict

from loadtest.measure.machine import Machine

Values = dict[str, Any]  # the fields of metrics.Metrics, by name


class VerdictDocument(TypedDict):
    """A target with what was measured; `text` is the sentence that people read."""

    metric: str
    operator: str
    limit: float
    phase: str | None
    kind: str | None
    name: str
    condition: str
    measured: float | None
    met: bool
    why: str
    text: str


class ConditionsDocument(TypedDict):
    """What a run was made under: the fields of results.Conditions."""

    when: str
    host: str
    local: bool
    service: dict[str, Any]
    process: dict[str, float]
    machine: Machine
    generator: dict[str, Any]
    pictures: dict[str, Any]
    target_file: str


class ErrorDocument(TypedDict):
    """Refusals or failures of one reason; `detail` is what the first of them said."""

    outcome: str
    reason: str
    count: int
    first_sec: float
    kinds: list[str]
    phases: list[str]
    detail: str


class Figures(TypedDict):
    """Metrics of everything that was measured, of each request kind, and of each phase."""

    all: Values
    kinds: dict[str, Values]
    phases: list[dict[str, Any]]  # a phase's own fields, its metrics as `all`, those of the main kind as `main`


class RunDocument(TypedDict):
    """A whole run."""

    format: int
    met: bool
    only_late: bool
    interrupted: bool  # it ended before all of its requests were due
    verdicts: list[VerdictDocument]
    scenario: dict[str, Any]
    mix: dict[str, int]
    main_kind: str
    seconds: float
    conditions: ConditionsDocument
    figures: Figures
    knee: int | None
    curves: dict[str, list[float]]  # by request kind: the 0th to 100th percentile in ms
    timeline: list[dict[str, Any]]
    errors: list[ErrorDocument]
    lag_ms: dict[str, float]
