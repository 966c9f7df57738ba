"""Pins images by their digests: `python -m pipeline.pin [--check]`, or `make pin`.

A tag is what its owner says today, and these images build what is deployed, or run with the right to deploy. Behind
each name and tag in the files below, the digest is written that the tag stands for now; where there is one, it is
renewed. With --check nobody is asked and nothing written: one line for each image that has none, and exit code 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import registries
from pipeline.errors import StepFailed, log, main

FILES = ("cloudbuild.yaml", "cloudbuild-docs.yaml", "cloudbuild-fleet.yaml", "Dockerfile")
_IMAGE = re.compile(
    r"(?P<name>(?:[a-z0-9.-]+:\d+/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# Cloud Build: the image of a step, maybe behind the mirror that it comes through.
_STEP = re.compile(r"^ +(?:- )?name: +[\"']?(?:\$\{_MIRROR\})?(?P<image>[^\s\"'#]+)", re.MULTILINE)
# The Dockerfile: what a stage starts from, what is copied or mounted out of, and what reads the file.
_ARGUMENT = re.compile(r"^ARG +(?P<argument>\w+)=(?P<image>\S+)", re.MULTILINE)
_FROM = re.compile(r"^FROM +(?:--\S+ +)*(?P<image>\S+)(?: +AS +(?P<stage>\S+))?", re.MULTILINE | re.IGNORECASE)
_OUT_OF = re.compile(r"^[^#\n]*?(?:--|,)from=(?P<image>[^\s,]+)", re.MULTILINE)
_READER = re.compile(r"\A# *syntax *= *(?P<image>\S+)")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Reference:
    """An image that a file names, and where: `start` and `end` are places in the file's text."""

    file: Path
    line: int
    start: int
    end: int
    name: str
    tag: str
    digest: str

    @property
    def image(self) -> tuple[str, str]:
        """Return name and tag: what a digest is looked up for."""
        return self.name, self.tag


def references(file: Path) -> list[Reference]:
    """Return every image that a build configuration or a Dockerfile names, in order.

    Raises:
        StepFailed: the file cannot be read, or names an image in a way that cannot be rewritten.
    """
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise StepFailed(f"{file} cannot be read: {error.strerror}.") from error
    matches = _in_dockerfile(file, text) if file.name == "Dockerfile" else _STEP.finditer(text)
    return sorted((_reference(file, text, match) for match in matches), key=lambda reference: reference.start)


def pin(files: list[Path]) -> None:
    """Write the digests of all images, or of none.

    Raises:
        StepFailed: a digest cannot be had; no file was changed.
    """
    found = {file: references(file) for file in files}
    known: dict[tuple[str, str], set[str]] = {}
    for reference in (reference for those in found.values() for reference in those):
        known.setdefault(reference.image, set()).add(reference.digest)
    digests = {}
    for (name, tag), before in known.items():
        digests[name, tag] = registries.digest(name, tag)
        log(f"pin: {name}:{tag} is {digests[name, tag]}" + (", as before" if before == {digests[name, tag]} else ""))
    for file, those in found.items():
        text = file.read_text("utf-8")
        for reference in reversed(those):
            pinned = f"{reference.name}:{reference.tag}@{digests[reference.image]}"
            text = text[: reference.start] + pinned + text[reference.end :]
        file.write_text(text, "utf-8")


def check(files: list[Path]) -> None:
    """Say which images have no digest.

    Raises:
        StepFailed: there are some.
    """
    loose = [reference for file in files for reference in references(file) if not reference.digest]
    for reference in loose:
        log(f"{reference.file}:{reference.line}: {reference.name}:{reference.tag} is not pinned")
    if loose:
        raise StepFailed(
            f"{len(loose)} images are whatever their tags mean on the day: run `make pin` where their registries can "
            "be reached, and commit what it writes."
        )


def _in_dockerfile(file: Path, text: str) -> Iterator[re.Match[str]]:
    arguments = {match["argument"]: match for match in _ARGUMENT.finditer(text)}
    named = [*_READER.finditer(text), *_FROM.finditer(text), *_OUT_OF.finditer(text)]
    stages = {"scratch", *(match["stage"] for match in _FROM.finditer(text))}
    places: dict[int, re.Match[str]] = {}
    for match in named:
        image = match["image"]
        whole = _VARIABLE.fullmatch(image)
        stage = _VARIABLE.sub(lambda name: arguments[name[1]]["image"] if name[1] in arguments else name[0], image)
        if stage in stages or stage.isdecimal():
            continue
        place = arguments.get(whole[1]) if whole else match
        if place is None or "$" in place["image"]:
            raise StepFailed(
                f"{file} names the image {image}: give it an ARG of its own, so that it can be pinned there."
            )
        places[place.start("image")] = place
    yield from places.values()


def _reference(file: Path, text: str, match: re.Match[str]) -> Reference:
    line = text.count("\n", 0, match.start("image")) + 1
    parts = _IMAGE.fullmatch(match["image"])
    if parts is None:
        raise StepFailed(f"{file}:{line} names the image {match['image']!r}: write it as NAME:TAG or NAME:TAG@DIGEST.")
    start, end = match.span("image")
    return Reference(file, line, start, end, parts["name"], parts["tag"] or "latest", parts["digest"] or "")


def _main() -> None:
    files = [Path(name) for name in FILES]
    match sys.argv[1:]:
        case []:
            pin(files)
        case ["--check"]:
            check(files)
        case other:
            raise StepFailed(f"the arguments are {' '.join(other)!r}: expected none, or --check.")


if __name__ == "__main__":
    main(_main)
