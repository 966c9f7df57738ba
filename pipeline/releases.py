"""Which release a stack had last, so that an older commit's build does not undo a newer one's.

Builds of two pushes may end in either order: Cloud Build does not keep them apart, and the lock serves whoever comes
first. The record is an object beside the lock, written after each release that passed its tests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from infra import names
from pipeline import checkout
from pipeline.bucket import Bucket
from pipeline.errors import StepFailed, log


@dataclass(frozen=True)
class Release:
    """A release: its image, the commit, when that was made and when this was done, in seconds since 1970."""

    image: str
    commit: str
    committed: int
    released: float


def refuse_older(bucket: Bucket, stack: str, commit: str) -> None:
    """Stop a build whose commit is older than the one that was released last.

    By the committers' dates: a build has its own commit and none before it. Where a date is not known, as in files that
    were submitted without their history, nothing is refused; a person who wants an older commit does not come here.

    Raises:
        StepFailed: the commit is older; nothing was changed.
    """
    last = read(bucket, stack)
    committed = checkout.committed(commit)
    if last and committed and last.committed > committed and last.commit != commit:
        when = datetime.fromtimestamp(last.released, UTC).strftime("%Y-%m-%d %H:%M UTC")
        raise StepFailed(
            f"the commit {commit[:12]} is older than {last.commit[:12]}, which was released {when}: nothing was "
            f"changed. To go back on purpose, push a commit that reverts the newer one, or run `make rollback "
            f"STACK={stack} IMAGE=...`."
        )


def read(bucket: Bucket, stack: str) -> Release | None:
    """Return the last release of a stack; None where there was none, or its record is damaged."""
    content = bucket.read(object_name(stack))
    try:
        values = json.loads(content.text) if content else None
        return (
            Release(str(values["image"]), str(values["commit"]), int(values["committed"]), float(values["released"]))
            if values
            else None
        )
    except (ValueError, TypeError, KeyError) as error:
        log(f"releases: the record of the last one cannot be read ({error!r}), and is written anew")
        return None


def record(bucket: Bucket, stack: str, image: str, commit: str, clock: Callable[[], float] = time.time) -> None:
    """Write down a release.

    Raises:
        StepFailed: the bucket cannot be written.
    """
    release = Release(image, commit, checkout.committed(commit), clock())
    bucket.write(object_name(stack), json.dumps(asdict(release)), None)


def forget(bucket: Bucket, stack: str) -> None:
    """Forget the last release of a stack, which is gone.

    Raises:
        StepFailed: the bucket cannot be written.
    """
    if content := bucket.read(object_name(stack)):
        bucket.remove(object_name(stack), content.generation)


def object_name(stack: str) -> str:
    """Return the object in the state's bucket that holds the record; beside the lock, so that the same grant holds."""
    return str(PurePosixPath(names.rollout_lock(stack)).with_name("last.json"))
