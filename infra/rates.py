"""The rated requests a second of one machine, from the file that `python -m loadtest rate` writes."""

from __future__ import annotations

import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


class RateError(ValueError):
    """The file is missing or says nothing usable; the message is a sentence with its remedy."""


def read(file: str) -> float:
    """Return the rate in requests a second; the file's path starts at the repository.

    Raises:
        RateError: the file cannot be read, is not JSON, or holds no rate.
    """
    try:
        content = json.loads((REPOSITORY / file).read_text("utf-8"))
    except OSError as error:
        raise RateError(
            f"rateFile is {file!r} and cannot be read ({error.strerror}): write it with `python -m loadtest rate`."
        ) from error
    except ValueError as error:
        raise RateError(
            f"rateFile is {file!r} and no JSON ({error}): write it again with `python -m loadtest rate`."
        ) from error
    rate = content.get("rated_per_sec") if isinstance(content, dict) else None
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < 100_000:
        raise RateError(
            f"rateFile is {file!r} and its rated_per_sec is {rate!r}: write it again with `python -m loadtest rate`."
        )
    return float(rate)
