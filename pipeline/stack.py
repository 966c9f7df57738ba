"""The stack, through the Pulumi command line: what it says now, what it would change, and changing it.

Knows the words in which Pulumi fails, and turns each into one sentence with its remedy.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.commands import Result, run, run_by_hand
from pipeline.errors import Locked, Stop, say

PROJECT = "own-cloud-classifier"
_PAUSE_SEC = 20.0
# Updates that `make rollback` looks back over.
_HISTORY = 50


@dataclass(frozen=True)
class Stack:
    """A stack with its state in a bucket.

    Attributes:
        name: the stack's name, as in Pulumi.NAME.yaml.
        backend: where the state is, gs://BUCKET.
        lock_wait_sec: how long to wait while somebody else changes the stack.
        pause: sleeps for some seconds.
    """

    name: str
    backend: str
    lock_wait_sec: float = 900.0
    pause: Callable[[float], None] = time.sleep

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, of its last completed update.

        Raises:
            Stop: the state cannot be read.
        """
        return dict(self._ask("stack", "output", "--json"))

    def previous(self) -> str:
        """Return the image that ran before the one that runs now.

        Raises:
            Stop: the state cannot be read, or there was none.
        """
        now = self.outputs().get("image", "")
        for update in self._ask("stack", "history", "--json", "--page-size", str(_HISTORY)):
            image = update.get("config", {}).get(f"{PROJECT}:image", {}).get("value", "")
            if update.get("kind") == "update" and update.get("result") == "succeeded" and image not in ("", now):
                return str(image)
        raise Stop(
            f"the history of stack {self.name} holds no other image: choose one with IMAGE=...@sha256:..., "
            "`gcloud artifacts docker images list` shows them."
        )

    def preview(self, image: str) -> str:
        """Return Pulumi's description of what running `image` would change.

        Raises:
            Stop: the program or its settings are wrong.
        """
        result = self._run("preview", "--diff", "--non-interactive", "--color", "never", *_configured(image))
        if result.code:
            raise self._reason(result)
        return result.output

    def up(self, image: str) -> None:
        """Make the stack run `image`, and wait until its machines do.

        Raises:
            Locked: somebody else is changing the stack; nothing was changed.
            Stop: it failed, perhaps in the middle.
        """
        end = time.monotonic() + self.lock_wait_sec
        while True:
            result = self._run(
                "up", "--yes", "--skip-preview", "--non-interactive", "--color", "never", *_configured(image)
            )
            if not result.code:
                return
            reason = self._reason(result)
            if not isinstance(reason, Locked) or time.monotonic() >= end:
                raise reason
            say(f"the stack is locked, asking again in {_PAUSE_SEC:.0f} s")
            self.pause(_PAUSE_SEC)

    def up_by_hand(self, image: str) -> None:
        """Run `pulumi up` for a person, who sees what would change and says yes.

        Raises:
            Stop: it failed, or the answer was no.
        """
        command = ["pulumi", "up", "--stack", self.name, *_configured(image)]
        if run_by_hand(command, self._environment):
            raise Stop("nothing more was changed, see above.")

    def _run(self, *arguments: str) -> Result:
        return run(["pulumi", *arguments, "--stack", self.name], self._environment)

    def _ask(self, *arguments: str) -> Any:
        command = ["pulumi", *arguments, "--stack", self.name]
        result = run(command, self._environment, quiet=True)
        if result.code:
            raise self._reason(result)
        try:
            return json.loads(result.output)
        except ValueError as error:
            raise Stop(f"`{shlex.join(command)}` did not answer in JSON: {error}") from error

    @property
    def _environment(self) -> dict[str, str]:
        # Instead of `pulumi login`, which would also change what a person's own later commands talk to.
        return {"PULUMI_BACKEND_URL": self.backend, "PULUMI_SKIP_UPDATE_CHECK": "true"}

    def _reason(self, result: Result) -> Stop:
        """Turn Pulumi's words into a sentence with a remedy."""
        said = result.errors + result.output
        words = result.last_words
        if "currently locked" in said:
            holder = next(
                (line.strip() for line in said.splitlines() if ": created by" in line), "by an unknown process"
            )
            return Locked(
                f"the stack {self.name} is locked ({holder}): wait for that update to end, or, where it died, run "
                f"`PULUMI_BACKEND_URL={self.backend} pulumi cancel --stack {self.name}`, then build again."
            )
        if any(text in said for text in ("unable to check if bucket", "problem logging in", "unable to open bucket")):
            return Stop(
                f"the state bucket {self.backend} cannot be reached: run `make bootstrap`, or let this account read "
                f"and write it (docs/pipeline.md). Pulumi says: {words}"
            )
        if "no stack named" in said:
            return Stop(
                f"there is no stack {self.name} in {self.backend}: make it with `make bootstrap STACK={self.name}`."
            )
        if "passphrase" in said:
            return Stop(
                f"Pulumi.{self.name}.yaml names no key of Cloud KMS, so that Pulumi asks for a passphrase: make the "
                "stack with `make bootstrap` and commit the file."
            )
        if "cloudkms" in said.lower() and "denied" in said.lower():
            return Stop(
                f"this account may not use the stack's key: grant it as docs/pipeline.md says. Pulumi says: {words}"
            )
        return Stop(f"Pulumi failed on stack {self.name}: {words}")


def _configured(image: str) -> tuple[str, ...]:
    return ("--config", f"{PROJECT}:image={image}") if image else ()
