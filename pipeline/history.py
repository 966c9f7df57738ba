"""Which image ran before: Pulumi's history of updates, with our own mark on those that went back from a bad one."""

from __future__ import annotations

from collections.abc import Iterable

from pulumi.automation import UpdateSummary

from infra import names

# Updates that `make rollback` looks back over.
PAGE = 50
_BACK_FROM = "back from "


def message(back_from: str) -> str | None:
    """Return the message of an update that goes back from an image, to which nobody shall come back by himself."""
    return f"{_BACK_FROM}{back_from}" if back_from else None


def previous(history: Iterable[UpdateSummary], now: str) -> str:
    """Return the image that ran before the one that runs now, or nothing where there was none.

    After an update that failed the machines run two images, and it is the one that the stack still names.

    Args:
        history: the newest first.
        now: the image that the stack names.
    """
    unwanted = {"", now}
    for number, update in enumerate(item for item in history if item.kind == "update"):
        value = update.config.get(f"{names.PULUMI_PROJECT}:image")
        image = str(value.value) if value else ""
        if number == 0 and update.result != "succeeded" and now and image != now:
            return now
        if (update.message or "").startswith(_BACK_FROM):
            unwanted.add(update.message.removeprefix(_BACK_FROM))
        if update.result == "succeeded" and image not in unwanted:
            return image
    return ""
