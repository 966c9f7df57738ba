"""Runs the steps of cloudbuild.yaml on this machine: `python -m pipeline.steps check|deploy|list`.

    check     every step before `push`: what `make release-check` does, with nothing but a Docker Engine
    deploy    every step: what `make deploy` does, with gcloud and pulumi signed in

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

from pipeline.errors import Stop, main, say

FILE = Path("cloudbuild.yaml")
# The first step that leaves this machine.
OUTWARDS = "push"
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Step:
    """One step: its name, command and environment, with all substitutions made."""

    id: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace $NAME and ${NAME}, as Cloud Build does; a name without a value becomes nothing."""
    return _REFERENCE.sub(lambda match: values.get(match[1] or match[2], ""), text)


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
    values = {"_ACTION": action, "COMMIT_SHA": _git("rev-parse", "HEAD") or "0" * 40}
    if model := os.environ.get("MODEL"):
        values["_MODEL"] = model
    if action != "deploy":
        return values
    if changed := _git("status", "--porcelain", "--untracked-files=no"):
        raise Stop(
            f"the checkout has changes that are in no commit ({changed.splitlines()[0].strip()}, ...): commit or stash "
            "them, so that what runs can be named."
        )
    stack = os.environ.get("STACK") or "dev"
    values |= {"_STACK": stack, "_REPOSITORY": f"classifier-{stack}"}
    file = Path(f"Pulumi.{stack}.yaml")
    try:
        config = yaml.safe_load(file.read_text("utf-8")).get("config") or {}
    except FileNotFoundError as error:
        raise Stop(f"{file} is missing: make the stack with `make bootstrap STACK={stack} ...`.") from error
    except (yaml.YAMLError, AttributeError) as error:
        raise Stop(f"{file} is no configuration of Pulumi: {error}") from error
    for name, key in (("PROJECT_ID", "gcp:project"), ("_REGION", "gcp:region")):
        values[name] = str(config.get(key, ""))
    return values


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _main() -> None:
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    if action == "list":
        for step in read(FILE, {}):
            say(step.id)
        return
    if action not in ("check", "deploy"):
        raise Stop(f"the action is {action!r}: expected check, deploy or list.")
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
        )  # noqa: S603
        say("release-check: this commit may be pushed")


if __name__ == "__main__":
    main(_main)
