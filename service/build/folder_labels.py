"""The classes of pictures in a folder with a subfolder for each, as torchvision's ImageFolder has them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from service.build.reporter import Reporter
from service.model.bundle import Label

UNKNOWN = -1
_NAMED = 3  # folders that name no class


def classes(root: Path, files: Iterable[Path], labels: Sequence[Label], report: Reporter) -> dict[Path, int]:
    """Return the class of each file: of the label, WordNet id or index that the first folder below `root` is called.

    UNKNOWN where there is no such class or more than one. Folders that name no class beside others that do are said;
    where none does, they are an order of the person's own.
    """
    known = _by_name(labels)
    folders = {file: parts[0] for file in files if len(parts := file.relative_to(root).parts) > 1}
    found = {file: known.get(_normal(name), UNKNOWN) for file, name in folders.items()}
    unknown = sorted({folders[file] for file, index in found.items() if index == UNKNOWN})
    if unknown and len(unknown) < len(set(folders.values())):
        shown = ", ".join(unknown[:_NAMED]) + (", ..." if len(unknown) > _NAMED else "")
        report.say(f"{len(unknown)} folders in {root} name no class, or several, and say nothing of accuracy: {shown}")
    return found


def _by_name(labels: Sequence[Label]) -> dict[str, int]:
    """Indices give way to WordNet ids, both to names; a name of two classes is none."""
    result = {str(label.index): label.index for label in labels}
    result |= {label.wordnet_id: label.index for label in labels if label.wordnet_id}
    names = [(_normal(name), label.index) for label in labels for name in {label.en, label.zh}]
    counts = Counter(name for name, _ in names)
    return result | {name: index if counts[name] == 1 else UNKNOWN for name, index in names}


def _normal(name: str) -> str:
    # Composed: some file systems (macOS) take names apart into letters and accents.
    return " ".join(unicodedata.normalize("NFC", name).replace("_", " ").split()).casefold()
