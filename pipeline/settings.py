"""The pipeline's settings: all that its steps read from the environment, in one place, once, when a step starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.errors import StepFailed


def _variable(name: str, default: Any, example: str = "") -> Any:
    return field(default=default, metadata={"variable": name, "example": example})


@dataclass(frozen=True)
class Settings:
    """What a step is told; cloudbuild.yaml and the Makefile set most of it, a person the rest.

    Attributes:
        stack: the stack's name, as in Pulumi.STACK.yaml.
        project: the project that the build runs in; nothing where the stack's own is meant.
        action: what to do, where the command line does not say.
        commit: the commit that the image was built from.
        branch: the branch whose push a build is for; nothing where a person decided.
        build_id: Cloud Build's number of this build.
        image: an image by digest.
        source_stack: the stack whose image is promoted.
        weights: which weights the image is built of: a row of the table of networks, or local.
        architecture: which network of these weights, where they are of several.
        precision: what the image is to serve: auto, fp32 or int8.
        network: Docker's network on which the steps reach the candidate.
        docker: Docker's client.
        requirements: what the image's Python packages are compared with.
        accepted: another list of accepted vulnerabilities than pipeline/accepted_vulnerabilities.toml.
        osv_url: the database of known vulnerabilities, or another that speaks OSV's interface.
        repository: OWNER/NAME on GitHub, for the comment.
        pull_request: its number.
        comment_secret: the secret with the token that may comment.
        github_api: GitHub's interface.
        build_address: this machine's public IPv4 address, where it cannot be asked for.
        confirmed_stack: the stack that may be destroyed without a question.
        give_up: whether protected resources may go.
        look: whether to look at the project first, also where an image runs.
        lock_wait_sec: how long to wait while somebody else changes the stack.
        lock_renew_sec: how often the holder says that it still works.
        lock_dead_sec: after which silence a holder counts as dead.
        ready_limit_sec: how long the fleet may take to answer through its balancer; a new rule of Cloud Armor needs a
            minute or so until all of Google's front ends know it.
        poll_sec: pause between two looks at what is being waited for.
        progress_sec: pause between two lines about it.
    """

    stack: str = _variable("STACK", "dev")
    project: str = _variable("PROJECT", "")
    action: str = _variable("ACTION", "")
    commit: str = _variable("COMMIT", "")
    branch: str = _variable("BRANCH", "")
    build_id: str = _variable("BUILD_ID", "")
    image: str = _variable("IMAGE", "")
    source_stack: str = _variable("FROM", "dev")
    weights: str = _variable("WEIGHTS", "")
    architecture: str = _variable("ARCH", "")
    precision: str = _variable("PRECISION", "")
    network: str = _variable("NETWORK", "")
    docker: str = _variable("DOCKER", "docker")
    requirements: str = _variable("REQUIREMENTS", "requirements/serve.txt")
    accepted: str = _variable("ACCEPTED_VULNERABILITIES", "")
    osv_url: str = _variable("OSV_URL", "https://api.osv.dev")
    repository: str = _variable("REPO_FULL_NAME", "")
    pull_request: str = _variable("PULL_REQUEST", "")
    comment_secret: str = _variable("COMMENT_SECRET", "")
    github_api: str = _variable("GITHUB_API_URL", "https://api.github.com")
    build_address: str = _variable("BUILD_ADDRESS", "")
    confirmed_stack: str = _variable("YES", "")
    give_up: bool = _variable("GIVE_UP", False, "1")
    look: bool = _variable("LOOK", False, "1")
    lock_wait_sec: float = _variable("LOCK_WAIT_SEC", 3600.0, "3600")
    lock_renew_sec: float = _variable("LOCK_RENEW_SEC", 60.0, "60")
    lock_dead_sec: float = _variable("LOCK_DEAD_SEC", 300.0, "300")
    ready_limit_sec: float = _variable("READY_LIMIT_SEC", 300.0, "300")
    poll_sec: float = _variable("POLL_SEC", 10.0, "10")
    progress_sec: float = _variable("PROGRESS_SEC", 30.0, "30")


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; a variable that is empty counts as not set, as Cloud Build leaves those that nobody gave.

    Raises:
        StepFailed: a value cannot be used.
    """
    given = os.environ if environment is None else environment
    values = {
        item.name: _parse(item.metadata["variable"], text, type(item.default), item.metadata["example"])
        for item in fields(Settings)
        if (text := given.get(item.metadata["variable"], "").strip())
    }
    return Settings(**values)


def _parse(variable: str, text: str, expected: type, example: str) -> Any:
    if expected is bool:
        if text not in ("0", "1"):
            raise StepFailed(f"{variable} is {text!r}: write {variable}=1, or leave it out.")
        return text == "1"
    if expected is float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise StepFailed(f"{variable} is {text!r}: write seconds, for example {variable}={example}.")
        return number
    return text
