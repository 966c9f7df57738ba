"""The step `inputs`: is everything said that the later steps need, and can the state be reached?

A triggered build replaces a substitution that nobody set by nothing and goes on (Cloud Build: ALLOW_LOOSE), so that
this asks before the long steps. It runs in Google's image of gcloud, with whatever Python is there and no packages: it
imports Python's own library and infra/names.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra import names

# Environment variable: substitution, what it must look like, an example.
_Expected = dict[str, tuple[str, re.Pattern[str], str]]
_BUILD: _Expected = {
    "COMMIT": ("COMMIT_SHA", re.compile("[0-9a-f]{40}"), "0123456789" * 4),
    # What is deployed was asked for by name and knows real things; which names there are, the build says in seconds.
    "WEIGHTS": ("_WEIGHTS", re.compile("(?!(auto|digits|timm|untrained)$)[a-z][a-z0-9_]*"), "official"),
    "PRECISION": ("_PRECISION", re.compile("auto|fp32|int8"), "auto"),
}
_STACK: _Expected = {
    "PROJECT": ("PROJECT_ID", names.PROJECT, "my-project-123"),
    "REGION": ("_REGION", names.REGION, "europe-west1"),
    "STACK": ("_STACK", names.STACK, "dev"),
}
_DELIVERY: _Expected = {
    **_BUILD,
    **_STACK,
    "REPOSITORY": ("_REPOSITORY", re.compile("[a-z]([a-z0-9-]{0,61}[a-z0-9])?"), "classifier-dev"),
}
# What each action needs. `check` stays on the machine and asks Google nothing.
_NEEDS: dict[str, _Expected] = {
    "check": _BUILD,
    # cloudbuild.yaml
    "preview": _DELIVERY,
    "deploy": _DELIVERY,
    # cloudbuild-fleet.yaml, which builds no image
    "renew": _STACK,
    "drift": _STACK,
    "promote": _STACK,
    "rollback": _STACK,
}
ACTIONS = tuple(_NEEDS)


def mistakes(environment: Mapping[str, str], folder: Path = Path()) -> list[str]:
    """Return a sentence for everything that is missing or wrong, in the environment and in the commit."""
    action = environment.get("ACTION", "")
    expected: _Expected = {
        "ACTION": ("_ACTION", re.compile("|".join(ACTIONS)), "deploy"),
        **_NEEDS.get(action, _STACK),
    }
    sentences = []
    for variable, (substitution, pattern, example) in expected.items():
        value = environment.get(variable, "")
        if not value:
            sentences.append(
                f"the substitution {substitution} is not set: give it, for example {substitution}={example}."
            )
        elif not pattern.fullmatch(value):
            sentences.append(f"the substitution {substitution} is {value!r}: write it like {example}.")
    # A stack that cannot be is not looked for.
    if not sentences and action != "check":
        sentences += _stack(environment, folder)
    return sentences


def unreachable(project: str, program: str) -> str:
    """Return why the state cannot be read, or nothing."""
    bucket = f"gs://{names.state_bucket(project)}"
    command = [program, "storage", "ls", f"{bucket}/", f"--project={project}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"{program} is not installed: docs/deployment.md says what a laptop needs."
    # An empty bucket is a good answer that gcloud counts as a failure.
    if result.returncode == 0 or "matched no objects" in result.stderr:
        return ""
    said = (result.stderr.strip().splitlines() or ["nothing"])[-1]
    return (
        f"the state bucket {bucket} cannot be read: run `make bootstrap`, or let the build's account read it "
        f"(docs/pipeline.md). gcloud says: {said}"
    )


def _stack(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    stack = environment["STACK"]
    file = folder / f"Pulumi.{stack}.yaml"
    remedy = "make the stack with `make bootstrap`, then commit the file."
    if not file.is_file():
        yield f"{file.name} is missing from the commit: {remedy}"
        return
    # Without a parser of YAML: Pulumi writes this on a line of its own.
    key = re.search(r"^secretsprovider: *gcpkms://(\S+)", file.read_text("utf-8", "replace"), re.MULTILINE)
    own = names.state_key(environment["PROJECT"], environment["REGION"], stack)
    if not key:
        yield f"{file.name} names no key of Cloud KMS: {remedy}"
    elif key[1] != own:
        yield f"{file.name} names the key {key[1]}, and this build may use {own} only: {remedy}"


def main() -> int:
    """Say what is wrong, all at once; returns the exit code."""
    environment = dict(os.environ)
    sentences = mistakes(environment)
    if not sentences and environment["ACTION"] != "check":
        sentences = (
            [reason] if (reason := unreachable(environment["PROJECT"], environment.get("GCLOUD", "gcloud"))) else []
        )
        if not sentences:
            of = f" of {environment['COMMIT']}" if environment.get("COMMIT") else ""
            print(
                "inputs: {ACTION}{of}, the stack {STACK} in {PROJECT}, {REGION}".format_map({**environment, "of": of})
            )
    for sentence in sentences:
        print(f"pipeline: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
