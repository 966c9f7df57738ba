"""Reads mistakes.diff, and makes changed copies of the program with them."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.infra.project import Project

FILE = Path(__file__).with_name("mistakes.diff")


@dataclass(frozen=True)
class Mutation:
    """A mistake: lines in `file` that are others, seen in `stack`; `outage` is the invariant that must notice."""

    outage: str
    file: str
    stack: str
    old: str
    new: str

    def __str__(self) -> str:
        changed = [line.strip() for line in self.new.splitlines() if line not in self.old.splitlines()]
        return f"{self.outage}: {changed[0] if changed else 'nothing'}"

    def apply(self, project: Project, folder: Path) -> Project:
        """Write a changed copy of the program and what it reads into a folder.

        Raises:
            AssertionError: the lines are not there, or more than once.
        """
        for part in ("infra", "container"):
            shutil.copytree(project.root / part, folder / part)  # with what is compiled already
        for file in project.root.glob("Pulumi*.yaml"):
            shutil.copy(file, folder)
        target = folder / self.file
        target.write_text(self.changed(target.read_text("utf-8")), "utf-8")
        Path(importlib.util.cache_from_source(str(target))).unlink(missing_ok=True)
        return Project(folder)

    def changed(self, text: str) -> str:
        """Replace the lines, whatever their indentation is in the source, and wherever a formatter breaks them.

        Raises:
            AssertionError: the lines are not there, or more than once.
        """
        lines, old, new = text.splitlines(), self.old.splitlines(), self.new.splitlines()
        bare = [line.strip() for line in lines]
        sought = [line.strip() for line in old]
        found = [at for at in range(len(lines)) if bare[at : at + len(old)] == sought]
        if not found:
            return self._changed_words(text)
        assert len(found) == 1, f"{self.file} has these lines {len(found)} times:\n{self.old}"
        deeper = _indent(lines[found[0]]) - _indent(old[0])
        moved = [" " * max(0, _indent(line) + deeper) + line.strip() for line in new]
        return "\n".join([*lines[: found[0]], *moved, *lines[found[0] + len(old) :]]) + "\n"

    def _changed_words(self, text: str) -> str:
        words, sought = _words(text), [word[0] for word in _words(self.old)]
        size = len(sought)
        found = [at for at in range(len(words)) if [word[0] for word in words[at : at + size]] == sought]
        if len(found) > 1:
            found = [at for at in found if not text[: words[at].start].rpartition("\n")[2].strip()]
        assert len(found) == 1, f"{self.file} has these lines {len(found)} times:\n{self.old}"
        start, end = words[found[0]].start, words[found[0] + size - 1].end
        if self.old.rstrip().endswith(",") and text[end : end + 1] == ",":
            end += 1
        return text[:start] + self.new.strip() + text[end:]


class _Word(NamedTuple):
    """A word or a sign, and where it is in a text."""

    text: str
    start: int
    end: int


def _words(text: str) -> list[_Word]:
    """Return what a formatter keeps: all but white space, and commas in front of a closing bracket or at the end."""
    return [_Word(match[0], *match.span()) for match in re.finditer(r"\w+|,(?!\s*([)\]}]|\Z))|[^\w\s,]", text)]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def read(file: Path = FILE) -> list[Mutation]:
    """Return the mutations of a file: a head `@@ OUTAGE FILE [STACK]`, then lines as in a diff."""
    hunks: list[tuple[list[str], list[str]]] = []
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("@@ "):
            hunks.append((line.split()[1:], []))
        elif hunks and line[:1] in ("-", "+", " "):
            hunks[-1][1].append(line)
    return list(_mutations(hunks))


def _mutations(hunks: list[tuple[list[str], list[str]]]) -> Iterator[Mutation]:
    for (outage, file, *stack), lines in hunks:
        old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] in marks) for marks in ("- ", "+ "))
        yield Mutation(outage, file, stack[0] if stack else "dev", old, new)
