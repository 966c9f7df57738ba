"""What a look at Google finds: sentences with a severity, and how questions are asked that nobody need answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.settings import Settings
from pipeline import gcloud
from pipeline.errors import StepFailed

# Takes a name and a type of record, returns the records' texts, none where there is no such record.
Resolve = Callable[[str, str], list[str]]
_LONGEST_REASON = 240


class Severity(StrEnum):
    """How bad a finding is; the value is what a person reads."""

    GOOD = "ok"
    WARN = "warning"
    STOP = "stop"
    SKIPPED = "not looked at"


@dataclass(frozen=True)
class Finding:
    """One sentence."""

    severity: Severity
    sentence: str


class NotLookedAt(Exception):
    """A question was not answered; the message is the reason."""


@dataclass(frozen=True)
class Questions:
    """What may be asked, about which stack.

    Attributes:
        settings: the stack's.
        outputs: the stack's; empty before the first update.
        run: runs a command that changes nothing.
        resolve: asks DNS.
    """

    settings: Settings
    outputs: Mapping[str, Any]
    run: gcloud.Run
    resolve: Resolve

    @property
    def running(self) -> bool:
        """Return whether machines of this stack run, which count in what is in use."""
        return bool(self.outputs.get("image"))

    def json(self, *words: str) -> Any:
        """Return what gcloud answers, read as JSON.

        Raises:
            NotLookedAt: it does not.
        """
        try:
            return json.loads(self.text(*words, "--format=json"))
        except ValueError as error:
            raise NotLookedAt(f"gcloud did not answer in JSON: {error}") from error

    def text(self, *words: str) -> str:
        """Return what gcloud answers, without blanks around it.

        Raises:
            NotLookedAt: it fails.
        """
        try:
            result = self.run(["gcloud", *words])
        except StepFailed as reason:
            raise NotLookedAt(str(reason)) from reason
        if gcloud.is_off(result):
            raise NotLookedAt("the API that would tell is off in this project")
        if result.code:
            raise NotLookedAt(gcloud.meaning(result, self.settings.project) or result.last_words[:_LONGEST_REASON])
        return result.output.strip()


# Looks at one thing and yields a sentence at least; raises NotLookedAt where it cannot.
Check = Callable[[Questions], Iterator[Finding]]


def good(sentence: str) -> Finding:
    """Return the finding that something is as it should be."""
    return Finding(Severity.GOOD, sentence)


def warning(sentence: str) -> Finding:
    """Return the finding of something that a deployment survives."""
    return Finding(Severity.WARN, sentence)


def stop(sentence: str) -> Finding:
    """Return the finding of something with which no deployment can succeed."""
    return Finding(Severity.STOP, sentence)


def skipped(what: str, reason: str) -> Finding:
    """Return the finding that something was not looked at."""
    return Finding(Severity.SKIPPED, f"{what}: {reason.rstrip('.')}.")
