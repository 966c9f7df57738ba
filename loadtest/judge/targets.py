"""The gate: targets from a file, and a pure function that holds metrics against them and reports every one.

A target is a whole condition, such as "< 50", so that no floor can be mistaken for a ceiling: each metric knows which
of the two makes sense.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.judge.metrics import PERCENTILES, Metrics
from loadtest.measure import verdicts
from loadtest.measure.percentiles import samples_needed
from loadtest.measure.verdicts import Goal
from loadtest.plan.mix import REQUEST_KINDS
from loadtest.plan.scenarios import NAMES, PHASE_NAMES

DEFAULT_FILE = Path(__file__).parents[1] / "targets.toml"
RATE = "rate"
SCENARIOS = (*NAMES, RATE)
LATE_GENERATOR = "the load generator was late itself, so this is not the service's time"
KNEE = "knee_per_sec"
_RATIOS = ("error_ratio", "refused_ratio", "goodput_ratio")
_AT_LEAST = ("goodput_ratio", "goodput_per_sec", KNEE)
METRICS = (*PERCENTILES, *_RATIOS, "goodput_per_sec", KNEE)
_CONDITION = re.compile(r"(<=|<|>=|>)\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Target:
    """A condition on one metric of a scenario, of one of its phases or request kinds, or of both."""

    metric: str
    operator: str
    limit: float
    phase: str | None = None
    request_kind: str | None = None

    @property
    def name(self) -> str:
        """Return what the metric is of, in words."""
        words = {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99", KNEE: "goodput at the knee"}
        metric = words.get(self.metric, self.metric.replace("_per_sec", " a second").replace("_", " "))
        parts = [
            metric,
            f"of {REQUEST_KINDS[self.request_kind]}" if self.request_kind else "",
            f"in {self.phase}" if self.phase else "",
        ]
        return ", ".join([" ".join(filter(None, parts[:2])), *filter(None, parts[2:])])

    @property
    def goal(self) -> Goal:
        """Return the target as everything here says goals."""
        return Goal(self.name, self.operator, self.limit, _unit(self.metric))

    @property
    def condition(self) -> str:
        """Return the condition with its unit."""
        return self.goal.condition

    def holds(self, measured: float) -> bool:
        """Return whether a measured value meets it."""
        return self.goal.holds(measured)


@dataclass(frozen=True)
class Verdict:
    """A target with what was measured; `why` says why that is not known, which is missed, too."""

    target: Target
    measured: float | None
    why: str = ""

    @property
    def met(self) -> bool:
        """Return whether the target is met for certain."""
        return self._said.met

    @property
    def late(self) -> bool:
        """Return whether it is a time that is known and too long; too few samples say nothing of the pace."""
        return not self.met and self.target.metric in PERCENTILES and self.why in ("", LATE_GENERATOR)

    @property
    def _said(self) -> verdicts.Verdict:
        return verdicts.Verdict(self.target.goal, self.measured, self.why)

    def __str__(self) -> str:
        return str(self._said)


# Returns the metrics of a phase and a request kind (None: of all), and the goodput at the knee.
Look = Callable[[str | None, str | None], Metrics]


def check(targets: Sequence[Target], look: Look, knee_per_sec: float | None = None) -> list[Verdict]:
    """Return a verdict on every target, in their order. What cannot be known is missed."""
    return [_check(target, look(target.phase, target.request_kind), knee_per_sec) for target in targets]


def _check(target: Target, metrics: Metrics, knee_per_sec: float | None) -> Verdict:
    if target.metric == KNEE:
        if knee_per_sec is None:
            return Verdict(target, None, "fewer than three steps brought answers, so there is no knee")
        return Verdict(target, knee_per_sec)
    measured = metrics.value(target.metric)
    if not metrics.sent:
        return Verdict(target, None, "no request of this sort was sent")
    if target.metric in PERCENTILES:
        needed = samples_needed(PERCENTILES[target.metric])
        if metrics.samples < needed:
            why = f"{metrics.samples} classified pictures are too few to know it: it takes {needed}"
            return Verdict(target, measured, why)
    if measured is None or math.isnan(measured):
        return Verdict(target, None, "nothing was measured")
    return Verdict(target, measured)


def text(metric: str, value: float) -> str:
    """Return a value with its unit, in all its digits: metrics.py rounded them."""
    return Goal("", "<", 0.0, _unit(metric)).in_words(value)


def _unit(metric: str) -> str:
    return "ms" if metric in PERCENTILES else "%" if metric in _RATIOS else "/s"


def read(file: Path) -> dict[str, list[Target]]:
    """Return every target of a file by scenario.

    Raises:
        LoadTestError: the file cannot be read, is no TOML, or holds a name or condition that makes no sense; it names
            the place, and what was probably meant.
    """
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise LoadTestError(f"The target file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LoadTestError(f"The target file {file} is no TOML: {error}.") from error
    targets = {}
    for scenario, table in document.items():
        if scenario not in SCENARIOS:
            raise _unknown(file, scenario, "scenario", SCENARIOS)
        if not isinstance(table, dict):
            raise LoadTestError(
                f"The target file {file}: {scenario} = {table!r} is no table; write [{scenario}] above it."
            )
        targets[scenario] = list(_targets(file, scenario, table, (), PHASE_NAMES.get(scenario, ())))
        if not any(t.metric == "error_ratio" and t.request_kind is t.phase is None for t in targets[scenario]):
            raise LoadTestError(
                f"The target file {file} sets no error_ratio for [{scenario}]: without one a run could pass in which "
                'most requests failed. Add error_ratio = "<= 0.001".'
            )
    return targets


def choose(file: Path, scenario: str) -> list[Target]:
    """Return the targets of one scenario; a scenario without any is an error, never a pass."""
    targets = read(file).get(scenario)
    if not targets:
        raise LoadTestError(f"The target file {file} has no targets for {scenario}: add a table [{scenario}].")
    return targets


def _targets(
    file: Path, where: str, table: dict[str, Any], path: tuple[str, ...], phases: Sequence[str]
) -> list[Target]:
    targets: list[Target] = []
    for key, value in table.items():
        if isinstance(value, dict):
            allowed = [*(() if path else phases), *(() if path and path[-1] in REQUEST_KINDS else REQUEST_KINDS)]
            if key not in allowed:
                raise _unknown(file, f"{where}.{key}", "phase or kind", allowed)
            targets += _targets(file, f"{where}.{key}", value, (*path, key), phases)
        elif key not in METRICS or (key == KNEE and where != "steps"):
            raise _unknown(file, f"{where}.{key}", "metric", METRICS if where == "steps" else METRICS[:-1])
        else:
            request_kind = next((name for name in path if name in REQUEST_KINDS), None)
            phase = next((name for name in path if name not in REQUEST_KINDS), None)
            targets.append(Target(key, *_condition(file, f"{where}.{key}", key, value), phase, request_kind))
    return targets


def _condition(file: Path, where: str, metric: str, value: object) -> tuple[str, float]:
    match = _CONDITION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise LoadTestError(
            f"The target file {file}: {where} = {value!r} is no condition. Write one such as "
            '"<= 38", "< 50" or ">= 0.99".'
        )
    operator, limit = match[1], float(match[2])
    if operator.startswith(">") != (metric in _AT_LEAST):
        needed = '">= ..."' if metric in _AT_LEAST else '"<= ..."'
        raise LoadTestError(
            f"The target file {file}: {where} = {value!r} is the wrong way round; {metric} needs {needed}."
        )
    if metric in _RATIOS and limit > 1:
        raise LoadTestError(
            f"The target file {file}: {where} = {value!r} is above 1; a ratio of 0.01 is one in a hundred."
        )
    return operator, limit


def _unknown(file: Path, name: str, what: str, known: Sequence[str]) -> LoadTestError:
    close = difflib.get_close_matches(name.rpartition(".")[2], known, 1)
    hint = f"did you mean {close[0]}?" if close else f"Known are {', '.join(known)}."
    return LoadTestError(f"The target file {file}: {name} is no {what}; {hint}")
