"""Small objects in the state's bucket, changed only where nobody else has changed them meanwhile.

Cloud Storage counts an object's generations and makes, replaces or removes it only if the generation is the one that
was named, 0 for none (https://cloud.google.com/storage/docs/request-preconditions). So of two who write, one learns
that it was not the first.
"""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline import gcloud
from pipeline.commands import Result, run
from pipeline.errors import StepFailed

NONE = "0"


class Changed(StepFailed):
    """Somebody else has made, changed or removed the object."""


@dataclass(frozen=True)
class Content:
    """An object at one generation."""

    text: str
    generation: str


@dataclass(frozen=True)
class Bucket:
    """A bucket by its address, gs://NAME."""

    address: str

    def read(self, name: str) -> Content | None:
        """Return an object, None where there is none.

        Raises:
            StepFailed: the bucket cannot be read.
        """
        # By its generation, since it may be replaced between the two commands; then it is looked at again.
        while generation := self._generation(name):
            result = run(["gcloud", "storage", "cat", f"{self.url(name)}#{generation}"], quiet=True)
            if not result.code:
                return Content(result.output, generation)
            if not _missing(result):
                raise StepFailed(f"{self.url(name)} cannot be read: {result.last_words}")
        return None

    def write(self, name: str, text: str, generation: str | None) -> str:
        """Write an object; returns its new generation.

        Args:
            name: the object's.
            text: what it shall hold.
            generation: that of the object that it replaces, NONE where there must be none, None whatever there is.

        Raises:
            Changed: there is another generation.
            StepFailed: the bucket cannot be written.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "object.json"
            file.write_text(text, "utf-8")
            condition = [] if generation is None else [f"--if-generation-match={generation}"]
            result = run(["gcloud", "storage", "cp", str(file), self.url(name), *condition, "--quiet"], quiet=True)
        if _missing(result):
            # Not the object, which need not be there: gcloud looks at the folder first, and says it of the bucket.
            raise StepFailed(
                f"the state bucket {self.address} does not exist: run `make bootstrap`, or correct gcp:project in the "
                "stack's file."
            )
        self._refuse(name, result)
        if written := self._generation(name):
            return written
        raise Changed(f"{self.url(name)} was removed by somebody else.")

    def remove(self, name: str, generation: str) -> None:
        """Remove one generation of an object.

        Raises:
            Changed: there is another one, or none.
            StepFailed: the bucket cannot be written.
        """
        condition = f"--if-generation-match={generation}"
        self._refuse(name, run(["gcloud", "storage", "rm", self.url(name), condition, "--quiet"], quiet=True))

    def url(self, name: str) -> str:
        """Return an object's address."""
        return f"{self.address}/{name}"

    def _generation(self, name: str) -> str:
        """Return an object's generation, or nothing where there is none."""
        command = ["gcloud", "storage", "objects", "describe", self.url(name), "--format=value(generation)"]
        result = run(command, quiet=True)
        if result.code and not _missing(result):
            if reason := gcloud.meaning(result, self.address):
                raise StepFailed(f"{reason}.")
            raise StepFailed(
                f"{self.url(name)} cannot be looked for: run `make bootstrap`, or let this account read the bucket "
                f"(docs/pipeline.md). gcloud says: {result.last_words}"
            )
        generation = "" if result.code else result.output.strip()
        if not result.code and not generation.isdecimal():
            # Nothing would pass for an object that is not there, a warning for one that always changes.
            raise StepFailed(
                f"gcloud says {generation[:80]!r} where it should say the number of a generation: see why with "
                f"`{shlex.join(command)}`."
            )
        return generation

    def _refuse(self, name: str, result: Result) -> None:
        if not result.code:
            return
        said = result.errors + result.output
        if "HTTPError 412" in said or "pre-condition" in said or _missing(result):
            raise Changed(f"{self.url(name)} was changed by somebody else.")
        if reason := gcloud.meaning(result, self.address):
            raise StepFailed(f"{reason}.")
        raise StepFailed(
            f"{self.url(name)} cannot be written: run `make bootstrap`, or let this account read and write the bucket "
            f"(docs/pipeline.md). gcloud says: {result.last_words}"
        )


def _missing(result: Result) -> bool:
    # gcloud's words (528.0.0: api_lib/storage/errors.py, command_lib/storage/wildcard_iterator.py); a bucket that is
    # missing is said in the same way and without an object's name, and Pulumi will say so.
    return "not found: 404" in result.errors or "matched no objects" in result.errors
