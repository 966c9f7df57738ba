"""Every request that was sent, exactly: one record each, in columns that are small, and quick to send to a master.

Locust's own statistics round response times to two digits, which its documentation says; targets are held against these
values instead.
"""

from __future__ import annotations

import csv
import gzip
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
import numpy.typing as npt

from loadtest.measure.answers import Judgement, Outcome
from loadtest.plan.mix import REQUEST_KINDS

# array's type codes: d is a float64, I a uint32, H a uint16, B a uint8.
_TYPES = {
    "due_sec": "d",  # when it was to be sent, from the start
    "lag_us": "I",  # how much later it was sent
    "latency_us": "I",  # from when it was due to the whole answer
    "phase": "H",
    "request_kind": "H",
    "attempt": "B",  # 1 for the first, more for those that came back after a refusal
    "outcome": "B",
    "reason": "H",
}
_MOST_US = 2**32 - 1


class _Names:
    """Names and the numbers that stand for them in a column."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = list(names)
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]


class Records:
    """Requests in the order in which they were answered."""

    def __init__(self) -> None:
        self._columns: dict[str, array[Any]] = {name: array(code) for name, code in _TYPES.items()}
        self._named = {"request_kind": _Names(REQUEST_KINDS), "reason": _Names()}
        self.details: dict[str, str] = {}  # of each reason, what the first answer said

    def __len__(self) -> int:
        return len(self._columns["due_sec"])

    @property
    def request_kinds(self) -> list[str]:
        """Return the names of the kinds: those of every mix first, then what a person's own tasks sent."""
        return self._named["request_kind"].names

    @property
    def reasons(self) -> list[str]:
        """Return the reasons, by their numbers."""
        return self._named["reason"].names

    def add(
        self,
        request_kind: str,
        phase: int,
        attempt: int,
        due_sec: float,
        lag_sec: float,
        latency_sec: float,
        judgement: Judgement,
    ) -> None:
        """Note one request."""
        columns = self._columns
        columns["due_sec"].append(due_sec)
        columns["lag_us"].append(_microseconds(lag_sec))
        columns["latency_us"].append(_microseconds(latency_sec))
        columns["phase"].append(phase)
        columns["request_kind"].append(self._named["request_kind"].number(request_kind))
        columns["attempt"].append(min(attempt, 255))
        columns["outcome"].append(judgement.outcome)
        columns["reason"].append(self._named["reason"].number(judgement.reason))
        self.details.setdefault(judgement.reason, judgement.detail)

    def take(self) -> dict[str, Any]:
        """Return everything as Locust's messages carry it, and forget it."""
        packed = {
            "columns": {name: column.tobytes() for name, column in self._columns.items()},
            "names": {name: list(named.names) for name, named in self._named.items()},
            "details": dict(self.details),
        }
        for column in self._columns.values():
            del column[:]
        return packed

    def merge(self, packed: dict[str, Any]) -> None:
        """Add what another process took; its numbers of names become ours."""
        for name, column in self._columns.items():
            values = array(_TYPES[name], packed["columns"][name])
            if name in self._named:
                numbers = [self._named[name].number(theirs) for theirs in packed["names"][name]]
                values = array(_TYPES[name], (numbers[value] for value in values))
            column.extend(values)
        for reason, detail in packed["details"].items():
            self.details.setdefault(reason, detail)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a copy of a column."""
        return np.array(self._columns[name])

    def of_kind(self, request_kind: str) -> npt.NDArray[np.bool_]:
        """Return which records are of a request kind."""
        chosen: npt.NDArray[np.bool_] = self.column("request_kind") == self._named["request_kind"].number(request_kind)
        return chosen

    def tail(self, begin: int) -> tuple[Sequence[int], Sequence[int]]:
        """Return latencies (in microseconds) and outcomes from record number `begin` on, for a progress line."""
        return self._columns["latency_us"][begin:], self._columns["outcome"][begin:]

    def save(self, file: Path, phases: Sequence[str]) -> None:
        """Write a compressed CSV, a line for each request, in the order in which they were due."""
        order = np.argsort(self.column("due_sec"), kind="stable")
        columns = [self.column(name)[order].tolist() for name in _TYPES]
        with gzip.open(file, "wt", encoding="utf-8", newline="") as output:
            writer = csv.writer(cast(TextIO, output))
            writer.writerow(
                ["due_sec", "lag_ms", "latency_ms", "phase", "kind", "attempt", "outcome", "reason"],
            )
            for due, lag, latency, phase, request_kind, attempt, outcome, reason in zip(*columns, strict=True):
                writer.writerow(
                    [
                        f"{due:.6f}",
                        f"{lag / 1000:.3f}",
                        f"{latency / 1000:.3f}",
                        phases[phase],
                        self.request_kinds[request_kind],
                        attempt,
                        Outcome(outcome).name.lower(),
                        self.reasons[reason],
                    ]
                )


def _microseconds(seconds: float) -> int:
    return min(_MOST_US, max(0, round(seconds * 1e6)))
