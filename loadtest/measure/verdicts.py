"""A goal, what was measured, and the verdict: said in one way by the load test's targets and the benchmark's goals."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Goal:
    """A condition on something that is measured. The unit "%" is of a share: 0.01 is said as 1 %."""

    name: str
    operator: str
    limit: float
    unit: str = ""

    def holds(self, measured: float) -> bool:
        """Return whether a measured value meets it; NaN meets nothing."""
        return bool(OPERATORS[self.operator](measured, self.limit))

    def in_words(self, value: float) -> str:
        """Return a value with its unit."""
        if self.unit == "%":
            return f"{100 * value:.4g} %"
        return f"{value:g}{'' if self.unit.startswith('/') else ' '}{self.unit}".rstrip()

    @property
    def condition(self) -> str:
        """Return the target, such as "<= 38 ms"."""
        return f"{self.operator} {self.in_words(self.limit)}"


@dataclass(frozen=True)
class Verdict:
    """A goal with what was measured; `why` says why that is not known, and what is not known is missed."""

    goal: Goal
    measured: float | None
    why: str = ""

    @property
    def met(self) -> bool:
        """Return whether the goal is met for certain."""
        return self.measured is not None and not self.why and self.goal.holds(self.measured)

    @property
    def word(self) -> str:
        """Return "met" or "MISSED"."""
        return "met" if self.met else "MISSED"

    @property
    def value(self) -> str:
        """Return what was measured with its unit."""
        return "nothing" if self.measured is None else self.goal.in_words(self.measured)

    def __str__(self) -> str:
        return f"{self.goal.name}: {self.value}, target {self.goal.condition}" + (f" ({self.why})" if self.why else "")

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can carry; `condition`, `value` and `verdict` are what people read."""
        goal = {
            "name": self.goal.name,
            "operator": self.goal.operator,
            "limit": self.goal.limit,
            "unit": self.goal.unit,
        }
        words = {"condition": self.goal.condition, "value": self.value, "verdict": self.word, "why": self.why}
        return {**goal, "measured": self.measured, "met": self.met, **words}
