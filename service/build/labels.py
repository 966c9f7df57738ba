"""The classes' names, in English and Chinese.

ImageNet's English names are torchvision's. `imagenet.tsv` adds, in the order of the classes, the WordNet id (the order
is that of the ids; ILSVRC 2012's development kit, also `imagenet_synsets.txt` of timm 1.0.31) and our own translation.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from service.errors import ServiceError
from service.model.bundle import Label

_DIGITS_ZH = "零一二三四五六七八九"


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


def from_file(file: Path, classes: int) -> list[Label]:
    """Read one class a line: the name, or English and Chinese name with a tab between.

    Raises:
        LabelsError: not as many lines as the network has classes, an empty one, or no such file.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{file} cannot be read: {error}") from None
    if len(lines) != classes or not all(line.strip() for line in lines):
        named = sum(1 for line in lines if line.strip())
        raise LabelsError(f"{file} names {named} classes on {len(lines)} lines, the network has {classes}: one a line")
    rows = [line.strip().split("\t") for line in lines]
    return [Label(index, None, row[0], row[-1]) for index, row in enumerate(rows)]


def numbered(classes: int) -> list[Label]:
    """Return names for classes that have none."""
    return [Label(index, None, f"class {index}", f"类别 {index}") for index in range(classes)]
