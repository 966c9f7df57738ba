"""Stands in for gcloud and pulumi inside this process: answers by rules, keeps what it was asked, and moves a clock."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from pipeline.commands import Result

# What an API says that was enabled a moment ago (gke-labs/kube-agents#262, terraform-example-foundation#1142).
NOT_YET = (
    "ERROR: (gcloud.x) PERMISSION_DENIED: Cloud Key Management Service (KMS) API has not been used in project "
    "my-project before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
    "cloudkms.googleapis.com/overview?project=my-project then retry. If you enabled this API recently, wait a few "
    "minutes for the action to propagate to our systems and retry.\n"
)
DENIED = "ERROR: (gcloud.x) [me@example.com] does not have permission to access projects instance [my-project]\n"
# kyegomez/zeta#71.
NO_BILLING = (
    "ERROR: (gcloud.services.enable) FAILED_PRECONDITION: Billing account for project '522837608576' is not found. "
    "Billing must be enabled for activation of service(s) 'compute.googleapis.com' to proceed.\n"
    "  reason: UREQ_PROJECT_BILLING_NOT_FOUND\n"
)


class Google:
    """Programs that answer what `say` tells them to, the latest rule first; without one, nothing and no error."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.now = 0.0
        self._rules: list[list[Any]] = []
        self._lock = threading.Lock()

    def say(self, *words: str, out: object = "", err: str = "", code: int = 0, times: int = -1) -> None:
        """Add an answer to commands with all these words (or words that begin so); JSON where it is no text."""
        text = out if isinstance(out, str) else json.dumps(out)
        self._rules.insert(0, [words, Result(code or (1 if err else 0), text, err), times])

    def __call__(self, command: Sequence[str]) -> Result:
        with self._lock:
            self.calls.append(list(command))
            for rule in self._rules:
                words, result, times = rule
                if times and all(any(given.startswith(word) for given in command) for word in words):
                    rule[2] -= 1
                    answer: Result = result
                    return answer
            return Result(0, "", "")

    def asked(self, *words: str) -> list[list[str]]:
        """Return the commands so far in which all words occur."""
        return [command for command in self.calls if set(words) <= set(command)]

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now
