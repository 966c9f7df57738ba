"""Runs the steps of cloudbuild.yaml on this machine: `python -m pipeline.steps check|deploy|submit|list`.

    check     every step before `push`: what `make release-check` does, with nothing but a Docker Engine
    deploy    every step: what `make deploy` does, with gcloud and pulumi signed in
    submit    has Cloud Build run every step on the files of this checkout

The order, the commands and their settings are those of cloudbuild.yaml. What differs here: a step's image is this
machine, where its tools are installed; the candidate is reached by a published port instead of Cloud Build's network.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline import checkout, commands
from pipeline.errors import Stop, main, say

FILE = Path("cloudbuild.yaml")
# The first step that leaves this machine.
OUTWARDS = "push"
_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Step:
    """One step: its name, command and environment, with all substitutions made."""

    id: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace $NAME and ${NAME}, as Cloud Build does; a name without a value becomes nothing, $$ becomes $."""
    return _REFERENCE.sub(lambda match: match[1] or values.get(match[2] or match[3], ""), text)


def read(file: Path, values: Mapping[str, str]) -> list[Step]:
    """Read the steps of a build configuration.

    Args:
        file: cloudbuild.yaml.
        values: substitutions, in addition to the file's own defaults.
    """
    document = yaml.safe_load(file.read_text("utf-8"))
    known = {**document.get("substitutions", {}), **values}
    common = document.get("options", {}).get("env", [])
    return [_step(item, common, known) for item in document["steps"]]


def _step(item: Mapping[str, Any], common: list[str], values: Mapping[str, str]) -> Step:
    pairs = [substitute(text, values).partition("=") for text in [*common, *item.get("env", [])]]
    arguments = [substitute(text, values) for text in item.get("args", [])]
    return Step(item["id"], [item["entrypoint"], *arguments], {name: value for name, _, value in pairs})


def run(steps: list[Step], overrides: Mapping[str, str]) -> None:
    """Run steps one after the other, and say how long each took.

    Raises:
        Stop: one failed; the later ones are not run.
    """
    for number, step in enumerate(steps, 1):
        say(f"== {number}/{len(steps)} {step.id}")
        began = time.monotonic()
        code = subprocess.run(step.command, env={**os.environ, **step.environment, **overrides}, check=False).returncode
        say(f"== {step.id}: {'done' if code == 0 else 'failed'} after {time.monotonic() - began:.0f} s")
        if code:
            rest = ", ".join(later.id for later in steps[number:]) or "none"
            raise Stop(f"the step {step.id} failed, see above. Not run: {rest}.")


def here(action: str) -> dict[str, str]:
    """Return the substitutions of this checkout: its commit, and its stack's own settings.

    Raises:
        Stop: there is no such stack, or what would be deployed is in no commit.
    """
    values = {"_ACTION": action, "COMMIT_SHA": checkout.commit()}
    if model := os.environ.get("MODEL"):
        values["_MODEL"] = model
    if action != "deploy":
        return values
    if changed := checkout.changes():
        raise Stop(
            f"the checkout has changes that are in no commit ({changed}): commit or stash them, so that what runs can "
            "be named."
        )
    stack = os.environ.get("STACK") or "dev"
    place = checkout.place(stack)
    return values | {
        "_STACK": stack,
        "_REPOSITORY": f"classifier-{stack}",
        "_ACCOUNT": f"pipeline-{stack}",
        "PROJECT_ID": place.project,
        "_REGION": place.region,
    }


def submit(values: Mapping[str, str]) -> None:
    """Have Cloud Build run the steps on this checkout's files, and follow its log.

    Raises:
        Stop: the build fails.
    """
    if commands.run(submission(values, checkout.place(values["_STACK"]))).code:
        raise Stop("the build failed, see above.")


def submission(values: Mapping[str, str], place: checkout.Place) -> list[str]:
    """Return the command that has Cloud Build build these files with the substitutions `values`."""
    given = ",".join(f"{name}={value}" for name, value in sorted(values.items()) if name != "PROJECT_ID")
    return [
        *("gcloud", "builds", "submit", f"--project={place.project}", f"--region={place.region}"),
        # Into the bucket that the build's account may read; bootstrap.sh lets it forget this folder after a week.
        *(f"--gcs-source-staging-dir={place.backend}/source", f"--config={FILE}", f"--substitutions={given}"),
    ]


def _main() -> None:
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    if action == "list":
        for step in read(FILE, {}):
            say(step.id)
        return
    if action not in ("check", "deploy", "submit"):
        raise Stop(f"the action is {action!r}: expected check, deploy, submit or list.")
    if action == "submit":
        submit(here("deploy"))
        return
    steps = read(FILE, here(action))
    # What holds on this machine and not on Cloud Build's.
    overrides = {"NETWORK": os.environ.get("NETWORK", "")}
    if action == "check":
        overrides["REGISTRY"] = ""
        steps = steps[: [step.id for step in steps].index(OUTWARDS)]
    run(steps, overrides)
    if action == "check":
        subprocess.run(
            [os.environ.get("DOCKER", "docker"), "rm", "--force", "candidate"], capture_output=True, check=False
        )
        say("release-check: this commit may be pushed")


if __name__ == "__main__":
    main(_main)
