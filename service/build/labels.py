"""The classes' names, in English and Chinese.

ImageNet's English names are torchvision's. `imagenet.tsv` adds, in the order of the classes, the WordNet id (the order
is that of the ids; ILSVRC 2012's development kit, also `imagenet_synsets.txt` of timm 1.0.31) and our own translation.
A person's own come from a file in any of the forms that tools write; what is ambiguous is refused, never guessed.
"""

from __future__ import annotations

import ast
import codecs
import json
import re
import unicodedata
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

from service.errors import ServiceError
from service.model.bundle import Label

_DIGITS_ZH = "零一二三四五六七八九"

# "0 cat", "0<TAB>cat", "0. cat", "0: cat", "0,cat", "0=cat", "0|cat", but not "0.5 litres"; and "cat,0", but not
# "class 0" or "4:3".
_NUMBER_FIRST = re.compile(r"(?P<index>\d{1,9})(?P<mark>\s*[,:;=|](?!\d)\s*|[.)]?\s+)(?P<name>\S.*)")
_NUMBER_LAST = re.compile(r"(?P<name>.*[^\s\d])(?P<mark>\s*[\t,:;]\s*)(?P<index>\d{1,9})")
_WORDNET_ID = re.compile(r"n\d{8}")
_WORDNET_FIRST = re.compile(rf"({_WORDNET_ID.pattern})[\s,:;]+(\S.*)")
# What is the syntax of another format where every line begins with it: quotes, brackets, dashes and the like.
_SYNTAX = ("Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sk", "Sm")
_TOKEN = re.compile(r"\[[\w -]+\]")  # "[red]", as tokens are written
# What no name holds: controls, halves of characters, and the marks that another encoding leaves behind.
_UNFIT = ("Cc", "Cs", "Cn")
_LEFTOVERS = "\ufeff\ufffd"


class LabelsError(ServiceError):
    """A file of labels cannot be used."""


def imagenet(english: list[str]) -> list[Label]:
    """Return ImageNet-1k's labels; `english` holds torchvision's 1,000 names in order."""
    lines = (resources.files("service.build") / "imagenet.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return [
        Label(index, wordnet_id, en, zh) for index, (en, (wordnet_id, zh)) in enumerate(zip(english, rows, strict=True))
    ]


def digits() -> list[Label]:
    """Return the labels of the ten digits."""
    return [Label(index, None, str(index), zh) for index, zh in enumerate(_DIGITS_ZH)]


def numbered(classes: int) -> list[Label]:
    """Return names for classes that have none."""
    return [Label(index, None, f"class {index}", f"类别 {index}") for index in range(classes)]


def from_file(file: Path, classes: int) -> list[Label]:
    """Read the names of a network's classes.

    Args:
        file: text with one class a line, its name or the English and Chinese one with a tab between, with or without
            the class's number from 0; or JSON: a list of names, names by number, or numbers by name.
        classes: how many the network has.

    Raises:
        LabelsError: there is no such file, it does not name each class once, or it can be read in more than one way.
    """
    text = _text(file)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if file.suffix.lower() == ".json":
            raise LabelsError(f"{file} is no JSON: {error}") from None
        document = _literal(text)
    if isinstance(document, list | dict):
        labels = _from_json(file, document, classes)
    else:
        labels = _from_lines(file, [line.strip() for line in re.split(r"\r\n|\r|\n", text.rstrip())], classes)
    for label in labels:
        for name in (label.en, label.zh):
            if not name or any(unicodedata.category(c) in _UNFIT or c in _LEFTOVERS for c in name):
                raise LabelsError(f"{file} gives class {label.index} the name {name!r}, which cannot be shown")
    return labels


def summary(labels: list[Label]) -> str:
    """Return a line that shows the first names, and the names that stand for more than one class."""
    first = ", ".join(
        f"{label.index} = {label.en}" + (f" ({label.zh})" if label.zh != label.en else "") for label in labels[:3]
    )
    line = f"{len(labels)} classes: {first}{', ...' if len(labels) > 3 else ''}"
    twice = [name for name, count in Counter(label.en for label in labels).items() if count > 1]
    return line + (f". Several classes are called {', '.join(twice[:3])}" if twice else "")


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise LabelsError(f"{file} cannot be read: {error.strerror}") from None
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabelsError(
            f"{file} is not UTF-8: line {line} holds the byte 0x{data[error.start]:02x}. Save it again as UTF-8"
        ) from None


def _literal(text: str) -> object:
    """Return what a list or dictionary in Python's notation holds, which some tools write; None for other texts."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        document = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return {str(key): value for key, value in document.items()} if isinstance(document, dict) else document


def _from_lines(file: Path, lines: list[str], classes: int) -> list[Label]:
    if len(lines) != classes or not all(lines):
        named = sum(1 for line in lines if line)
        raise LabelsError(
            f"{file} names {named} classes on {len(lines)} lines, the network has {classes}: one a line. "
            f"The first line is {lines[0][:80]!r}"
        )
    wordnet: list[str | None] = [None] * classes
    if all(found := [_WORDNET_FIRST.fullmatch(line) for line in lines]):
        wordnet, lines = [match and match[1] for match in found], [match[2] if match else "" for match in found]
    lines = _without_numbers(file, lines)
    if all(
        unicodedata.category(line[0]) in _SYNTAX and any(map(str.isalnum, line)) and not _TOKEN.fullmatch(line)
        for line in lines
    ):
        raise LabelsError(
            f"{file} is in a form that is not read: each line begins with a sign, the first is {lines[0][:80]!r}. "
            "Write the names alone or, where the signs are part of them, a JSON list"
        )
    labels = []
    for index, line in enumerate(lines):
        names = [_spaced(name) for name in line.split("\t")]
        if len(names) > 2:
            raise LabelsError(
                f"{file} has {len(names)} columns for class {index}, expected a name, or an English and a Chinese one: "
                f"{line[:80]!r}"
            )
        labels.append(Label(index, wordnet[index], names[0], names[-1]))
    return labels


def _without_numbers(file: Path, lines: list[str]) -> list[str]:
    """Return the names in the order of their numbers, where each line has one; otherwise the lines."""
    for form in (_NUMBER_FIRST, _NUMBER_LAST):
        matches = [match for line in lines if (match := form.fullmatch(line))]
        if len(matches) < len(lines):
            continue
        ordered = sorted(matches, key=lambda match: int(match["index"]))
        numbers = [int(match["index"]) for match in ordered]
        if numbers == list(range(len(lines))):
            return [match["name"] for match in ordered]
        # After a blank alone the number may be part of a name ("50 euro"); a column of numbers it is not.
        from_one = numbers == list(range(1, len(lines) + 1))
        if from_one or all(match["mark"].strip(" ") for match in matches):
            raise LabelsError(
                f"{file} numbers its classes {numbers[0]} to {numbers[-1]}, expected 0 to {len(lines) - 1}, each once. "
                "Leave the numbers away or, where they are part of the names, write the names as a JSON list"
            )
    return lines


def _from_json(file: Path, document: Any, classes: int) -> list[Label]:
    if isinstance(document, dict):
        document = document.get("id2label", document)  # Hugging Face's config.json
    if isinstance(document, dict):
        if all(type(value) is int for value in document.values()):  # class_to_idx, as ImageFolder has it
            pairs = [(value, key) for key, value in document.items()]
        else:
            pairs = [(int(key) if key.isdecimal() and len(key) < 10 else -1, value) for key, value in document.items()]
        if sorted(index for index, _ in pairs) != list(range(len(pairs))):
            raise LabelsError(f"{file} does not number its classes from 0 to {len(pairs) - 1}, each once")
        document = [value for _, value in sorted(pairs, key=lambda pair: pair[0])]
    if not isinstance(document, list):
        raise LabelsError(f"{file} holds no names: id2label is {document!r:.80}")
    if len(document) != classes:
        raise LabelsError(f"{file} names {len(document)} classes, the network has {classes}")
    labels = []
    for index, name in enumerate(document):
        wordnet_id = None
        # TorchServe's form for ImageNet: the id and the name.
        if isinstance(name, list) and len(name) == 2 and _WORDNET_ID.fullmatch(str(name[0])):
            wordnet_id, name = name  # noqa: PLW2901  # what is left is the name
        if not isinstance(name, str):
            raise LabelsError(f"{file} gives class {index} the name {name!r:.80}, expected a text")
        labels.append(Label(index, wordnet_id, _spaced(name), _spaced(name)))
    return labels


def _spaced(name: str) -> str:
    return " ".join(name.split())  # also the blanks that only look like one
