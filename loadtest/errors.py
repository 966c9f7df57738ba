"""What ends a load test before it says anything about the service: exit code 2 and one sentence."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


class LoadTestError(Exception):
    """The test cannot be made: bad input, no service, another service. The message says what to do."""


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say in a LoadTestError why a file or folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise LoadTestError(f"{place} cannot be written: {error.strerror or error}. Name another place.") from error


def make_folder(folder: Path) -> None:
    """Make a folder that reports will go to; raises LoadTestError where none can be written there."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # a folder that is there may be another's, or its disk full
