"""Known vulnerabilities that an image may have for a time, in accepted_vulnerabilities.toml: which, why, until when."""

from __future__ import annotations

import datetime as dt
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from pipeline.errors import StepFailed
from pipeline.osv import Vulnerability

FILE = Path(__file__).with_name("accepted_vulnerabilities.toml")


@dataclass(frozen=True)
class Accepted:
    """One that is accepted; `id` is any of its names, `package` a Python package or a source package of Debian's."""

    id: str
    package: str
    reason: str
    until: dt.date

    def covers(self, vulnerability: Vulnerability) -> bool:
        """Return whether this is the one."""
        return self.package == vulnerability.package.name and self.id in vulnerability.names


def read(file: Path, today: dt.date) -> list[Accepted]:
    """Read the list.

    Raises:
        StepFailed: it is damaged, an entry says too little, or an entry's last day is over.
    """
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StepFailed(f"{file.name} cannot be read ({error}): mend it.") from error
    entries = document.pop("accepted", [])
    if document or not isinstance(entries, list):
        raise StepFailed(f"{file.name} holds {', '.join(document) or 'no list'}: expected [[accepted]] alone.")
    accepted = [_entry(file, number, entry) for number, entry in enumerate(entries, 1)]
    for entry in accepted:
        if entry.until < today:
            raise StepFailed(
                f"{file.name} accepts {entry.id} of {entry.package} until {entry.until}, which is over: raise the "
                "version and remove the entry, or judge it again and give it another date."
            )
    return accepted


def _entry(file: Path, number: int, entry: object) -> Accepted:
    types = {"id": str, "package": str, "reason": str, "until": dt.date}
    if (
        not isinstance(entry, dict)
        or set(entry) != {item.name for item in fields(Accepted)}
        # A time of day is a date to Python, and cannot be compared with one.
        or any(type(entry[name]) is not kind or not entry[name] for name, kind in types.items())
    ):
        raise StepFailed(
            f"entry {number} of {file.name} is {entry!r}: expected the texts id, package and reason, and until, a date "
            "such as 2026-12-31."
        )
    return Accepted(**entry)
