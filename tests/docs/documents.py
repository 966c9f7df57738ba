"""The documents as data: pages, anchors, links, blocks of code, commands, tables."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tests.conftest import REPOSITORY

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def anchor(heading: str) -> str:
    """Return what GitHub calls a heading in an address: lower case, no punctuation, hyphens for spaces."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@dataclass(frozen=True)
class Block:
    """A block of code: what it is in, and its lines."""

    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command that a page tells its reader to type.

    Attributes:
        words: the program and its arguments; what comes from another command is in one word, `$(...)`.
        assignments: variables that are set before it.
        is_run: whether it stands in a block of `console`.
    """

    page: str
    text: str
    words: tuple[str, ...]
    assignments: tuple[str, ...] = ()
    is_run: bool = False

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


@dataclass(frozen=True)
class Page:
    """One document, by its path from the repository's root."""

    path: str

    @cached_property
    def text(self) -> str:
        return (REPOSITORY / self.path).read_text("utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without blocks of code and comments."""
        return re.sub(r"<!--.*?-->", "", _FENCE.sub("", self.text), flags=re.DOTALL)

    @property
    def blocks(self) -> list[Block]:
        return [Block(found["language"], found["text"]) for found in _FENCE.finditer(self.text)]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Each heading's level and words."""
        return [(len(marks), words) for marks, words in re.findall(r"^(#+) (.*)$", self.prose, re.MULTILINE)]

    @cached_property
    def anchors(self) -> set[str]:
        seen: Counter[str] = Counter()
        found = set()
        for _, heading in self.headings:
            name = anchor(heading)
            found.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
        return found

    @property
    def links(self) -> list[str]:
        """Targets of all links and pictures."""
        text = re.sub(r"`[^`\n]*`", "", self.prose)
        return [found["target"] for found in _LINK.finditer(text)] + re.findall(r'<img src="([^"]*)"', text)

    @property
    def rows(self) -> list[list[str]]:
        """Each table's rows, heads included, as cells."""
        lines = re.findall(r"^\|(.*)\|$", self.prose, re.MULTILINE)
        return [[cell.strip() for cell in line.split("|")] for line in lines if not re.fullmatch(r"[-:| ]+", line)]

    @property
    def commands(self) -> list[Command]:
        """Commands of blocks `sh` and `console`, and those in the text that begin as one of PROGRAMS does."""
        found: list[Command] = []
        for block in self.blocks:
            if block.language == "console":
                for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                    line = re.sub(r"\\\n\s*", "", part).partition("\n")[0]
                    found += _read(self.path, line, is_run=True)
            elif block.language == "sh":
                without_documents = re.sub(r"<<(\w+)\n.*?^\1$", "", block.text, flags=re.MULTILINE | re.DOTALL)
                for line in re.sub(r"\\\n\s*", "", without_documents).splitlines():
                    if not re.fullmatch(r"\s*(for .*; do|done)", line):
                        found += _read(self.path, line)
        for span in re.findall(r"`([^`\n]+)`", self.prose):
            if re.sub(r"^([A-Z]\w*=\S* )+", "", span).split(" ")[0] in PROGRAMS and " " in span:
                found += _read(self.path, span)
        return found


# What begins a command in the text; blocks of code may have others (test_commands.py knows them all).
PROGRAMS = ("make", "python", "pip", "pytest", "pulumi", "gcloud", "locust", "docker", "curl")


def _read(page: str, line: str, *, is_run: bool = False) -> Iterator[Command]:
    """Yield a line's commands: those in `$(...)` too, and each of several with `&&` or `;` between."""
    for inner in re.findall(r"\$\(([^()]+)\)", line):
        if inner.split()[0] in PROGRAMS:
            yield from _read(page, inner)
    outer = re.sub(r"\$\([^()]+\)", "$(...)", line)
    words = shlex.split(outer, comments=True)
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|", ";"):
            parts.append([])
        elif word.endswith(";"):
            parts[-1].append(word[:-1])
            parts.append([])
        else:
            parts[-1].append(word)
    for part in parts:
        given = 0
        while given < len(part) and _ASSIGNMENT.match(part[given]):
            given += 1
        if part[given:]:
            yield Command(page, line.strip(), tuple(part[given:]), tuple(part[:given]), is_run)


PAGES = tuple(
    Page(str(file.relative_to(REPOSITORY)))
    for pattern in ("*.md", "docs/*.md", "infra/*.md", "requirements/*.md")
    for file in sorted(REPOSITORY.glob(pattern))
)
