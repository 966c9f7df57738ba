"""Runs the steps of cloudbuild.yaml on this machine: `python -m pipeline.steps check|deploy|submit|list`.

    check     every step before `push`: what `make release-check` does, with nothing but a Docker Engine
    deploy    every step: what `make deploy` does, with gcloud and pulumi signed in
    submit    has Cloud Build run every step on the files of this checkout

The order, the commands and their settings are those of cloudbuild.yaml. What differs here: a step's image is this
machine, where its tools are installed; the candidate is reached by a published port instead of Cloud Build's network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infra import names
from pipeline import checkout, commands, settings
from pipeline.errors import StepFailed, log, main

FILE = Path("cloudbuild.yaml")
# The first step that leaves this machine.
FIRST_PUBLISHING_STEP = "push"
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
        StepFailed: one failed; the later ones are not run.
    """
    for number, step in enumerate(steps, 1):
        log(f"== {number}/{len(steps)} {step.id}")
        began = time.monotonic()
        # Not by subprocess.run, which kills a program a quarter of a second after Ctrl-C, with Pulumi at work in it.
        code = commands.run_interactive(step.command, {**step.environment, **overrides}, quiet=True)
        log(f"== {step.id}: {'done' if code == 0 else 'failed'} after {time.monotonic() - began:.0f} s")
        if code:
            rest = ", ".join(later.id for later in steps[number:]) or "none"
            raise StepFailed(f"the step {step.id} failed, see above. Not run: {rest}.")


def local_substitutions(action: str, given: settings.Settings) -> dict[str, str]:
    """Return the substitutions of this checkout: its commit, and its stack's own settings.

    Raises:
        StepFailed: there is no such stack, or what would be deployed is in no commit.
    """
    values = {"_ACTION": action, "COMMIT_SHA": checkout.commit()}
    chosen = {"_WEIGHTS": given.weights, "_ARCH": given.architecture, "_PRECISION": given.precision}
    values |= {name: value for name, value in chosen.items() if value}
    if action != "deploy":
        return values
    if changed := checkout.changes():
        raise StepFailed(
            f"the checkout has changes that are in no commit ({changed}): commit or stash them, so that what runs can "
            "be named."
        )
    where = checkout.location(given.stack)
    return values | {
        "_STACK": given.stack,
        "_REPOSITORY": names.prefix(given.stack),
        "_ACCOUNT": names.deployer(given.stack),
        "PROJECT_ID": where.project,
        "_REGION": where.region,
    }


def submit(values: Mapping[str, str]) -> None:
    """Have Cloud Build run the steps on this checkout's files, and follow its log.

    Raises:
        StepFailed: the build fails.
    """
    configured = checkout.stack_settings(values["_STACK"])
    command = submission(values, checkout.location(values["_STACK"]), configured.build_region)
    # A build may take five hours and wait for one (cloudbuild.yaml).
    if commands.run_interactive(command, {}):
        raise StepFailed("the build failed, or is no longer followed, see above.")


def submission(values: Mapping[str, str], where: checkout.StackLocation, build_region: str = "") -> list[str]:
    """Return the command that has Cloud Build build these files with the substitutions `values`."""
    given = ",".join(f"{name}={value}" for name, value in sorted(values.items()) if name != "PROJECT_ID")
    return [
        # The beta command follows a build's log in Cloud Logging, which is where an account of one's own writes it.
        *("gcloud", "beta", "builds", "submit", f"--project={where.project}"),
        f"--region={build_region or where.region}",
        # Into the bucket that the build's account may read; bootstrap lets it forget this folder after a week.
        *(f"--gcs-source-staging-dir={where.backend}/source", f"--config={FILE}", f"--substitutions={given}"),
    ]


def _main() -> None:
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    given = settings.read()
    if action == "list":
        for step in read(FILE, {}):
            log(step.id)
        return
    if action not in ("check", "deploy", "submit"):
        raise StepFailed(f"the action is {action!r}: expected check, deploy, submit or list.")
    if action == "submit":
        submit(local_substitutions("deploy", given))
        return
    steps = read(FILE, local_substitutions(action, given))
    # What holds on this machine and not on Cloud Build's.
    overrides = {"NETWORK": given.network}
    if action == "check":
        overrides["REGISTRY"] = ""
        steps = steps[: [step.id for step in steps].index(FIRST_PUBLISHING_STEP)]
    run(steps, overrides)
    if action == "check":
        subprocess.run([given.docker, "rm", "--force", "candidate"], capture_output=True, check=False)
        log("release-check: this commit may be pushed")


if __name__ == "__main__":
    main(_main)
