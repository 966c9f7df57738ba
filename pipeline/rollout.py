"""The last step: `python -m pipeline.rollout preview|deploy|rollback|up`.

preview    what a pull request would change; says so on the request, changes nothing
deploy     the new image onto the fleet, tested through the balancer; the old image again where that fails
rollback   by hand: the image that ran before, or IMAGE=...@sha256:...
up         by hand: `pulumi up` with the image that runs, for a change of settings; at first, the foundations
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pipeline import answers, checkout, comment, door, images, machines
from pipeline.commands import run
from pipeline.errors import Locked, Stop, main, say
from pipeline.stack import Stack

_HERE = Path(__file__).resolve().parent
# A new rule of Cloud Armor needs a minute or so until all of Google's front ends know it.
_READY_LIMIT_SEC = float(os.environ.get("READY_LIMIT_SEC", "300"))
_LOCK_WAIT_SEC = float(os.environ.get("LOCK_WAIT_SEC", "900"))


@dataclass(frozen=True)
class Rollout:
    """One deployment of one image to one stack."""

    stack: Stack
    project: str
    commit: str

    def preview(self, image: str) -> str:
        """Return what would change; the digest stands in the stack's own repository, from which machines may read."""
        registry = self.stack.outputs().get("registry", "")
        if not registry:
            raise Stop(f"the stack {self.stack.name} has no foundations: run `pulumi up` once, from a laptop.")
        return self.stack.preview(images.moved(image, registry))

    def deploy(self, image: str) -> None:
        """Roll the fleet to `image` and test it; the image before again where something fails.

        Raises:
            Stop: it failed; the sentence says what runs now.
        """
        before = str(self.stack.outputs().get("image", ""))
        say(f"rollout: {before or 'no image yet'} -> {image}")
        # Mistakes in the settings or in the program end it here, with nothing changed.
        self.stack.preview(image)
        try:
            self.stack.up(image)
            outputs = self.stack.outputs()
            machines.wait(outputs, self.project)
            self.test(outputs)
        except (Locked, door.LeftOpen):
            raise
        except Stop as reason:
            self._go_back(before, image, reason)
        say(f"rollout: {image} runs at {outputs['url']}")

    def test(self, outputs: Mapping[str, Any]) -> None:
        """Ask the fleet its known answers and put it under load, through its balancer.

        Raises:
            Stop: it fails.
        """
        url = outputs["url"]
        with door.opened(outputs, self.project, self.stack.name):
            if not _behind_sign_in(url):
                answers.wait_for(url, _READY_LIMIT_SEC)
                count = answers.check(url, self.commit)
                say(f"rollout: {count} of {count} known answers are right through the balancer")
                _load(url)

    def rollback(self, image: str = "") -> None:
        """Make the fleet run `image`, or what ran before.

        Raises:
            Stop: there is none, or it failed.
        """
        image = images.by_digest(image or self.stack.previous())
        command = ["gcloud", "artifacts", "docker", "images", "describe", image, f"--project={self.project}"]
        result = run(command, quiet=True)
        if result.code:
            raise Stop(
                f"the registry no longer has {image}: choose another with IMAGE=.... gcloud says: {result.last_words}"
            )
        say(f"rollback: to {image}")
        self.stack.up(image)
        outputs = self.stack.outputs()
        machines.wait(outputs, self.project)
        say(f"rollback: {image} runs at {outputs['url']}")

    def _go_back(self, before: str, image: str, reason: Stop) -> NoReturn:
        if not before:
            raise Stop(
                f"{reason} This was the first image, so that there is none to go back to: the machines stay as they "
                "are."
            )
        if before == image:
            raise Stop(f"{reason} The same image ran before, so that there is none to go back to.")
        say(f"rollout: failed, going back to {before}\n         {reason}")
        try:
            self.stack.up(before)
            machines.wait(self.stack.outputs(), self.project)
        except Stop as second:
            raise Stop(
                f"{reason} Going back failed too ({second}): run `make rollback STACK={self.stack.name} "
                f"IMAGE={before}`."
            ) from reason
        raise Stop(f"{reason} The fleet runs {before} again.") from reason


def _behind_sign_in(url: str) -> bool:
    """Return whether Identity-Aware Proxy answers instead of the fleet, which no build can sign in to."""
    try:
        _, headers, _ = answers.ask(url, "/healthz")
    except OSError:
        return False
    # https://cloud.google.com/iap/docs/faq: its own answers carry this header.
    if headers.get("x-goog-iap-generated-response") != "true":
        return False
    say("rollout: Identity-Aware Proxy asks for a sign-in: the machines' health was tested, neither answers nor load")
    return True


def _load(url: str) -> None:
    code = subprocess.run([_HERE / "load.sh", url, _HERE / "targets.toml"], check=False).returncode
    if code:
        raise Stop("the fleet misses its targets under load, or could not be tested, see above.")


def _step() -> None:
    action = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ACTION", "")
    if action not in ("preview", "deploy", "rollback", "up"):
        raise Stop(f"the action is {action!r}: expected preview, deploy, rollback or up.")
    name = os.environ.get("STACK") or "dev"
    place = checkout.place(name)
    if (project := os.environ.get("PROJECT")) and project != place.project:
        raise Stop(
            f"Pulumi.{name}.yaml is for the project {place.project}, and this build is in {project}: see _STACK."
        )
    stack = Stack(name, place.backend, _LOCK_WAIT_SEC)
    rollout = Rollout(stack, place.project, os.environ.get("COMMIT", ""))
    image = os.environ.get("IMAGE", "")
    if action == "up":
        stack.up_by_hand(str(stack.outputs().get("image", "")))
        return
    if action == "rollback":
        rollout.rollback(image)
        return
    digest = Path(".pipeline/digest")
    image = images.by_digest(image or (digest.read_text().strip() if digest.exists() else ""))
    if action == "deploy":
        rollout.deploy(image)
        return
    text = comment.body(stack.name, image, rollout.preview(image))
    names = ("REPO_FULL_NAME", "PULL_REQUEST", "COMMENT_SECRET")
    repository, number, secret = (os.environ.get(name, "") for name in names)
    comment.announce(repository, number, stack.name, rollout.project, secret, text)


def _end(number: int, _: FrameType | None) -> None:
    # So that the door is closed when a build is cancelled.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    main(_step)
