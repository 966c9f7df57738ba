"""The stacks that the tests deploy: the two that the repository ships, and one for each thing that can be turned on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.conftest import REPOSITORY
from tests.infra import cloud
from tests.infra.deployment import Deployment
from tests.infra.engine import Engine
from tests.infra.project import Project

PROJECT = Project(REPOSITORY)
ALLOWLIST = ["203.0.113.0/24", "198.51.100.7/32"]
DIGEST = "sha256:" + "a1" * 32
OTHER_DIGEST = "sha256:" + "b2" * 32
# More ranges than one rule of Cloud Armor takes, among them one of IPv6.
MANY_RANGES = [f"203.0.113.{number}/32" for number in range(1, 24)] + ["2001:db8:7::/48"]


@dataclass(frozen=True)
class Stack:
    """A stack: its name, what is set besides Pulumi.<name>.yaml, and which stack its inventory is told apart from."""

    name: str
    more: Mapping[str, Any]
    base: str = ""


def image(stack: str, digest: str = DIGEST) -> str:
    """Return the image's reference, as the registry of a stack would have it."""
    return f"{cloud.REGION}-docker.pkg.dev/{cloud.PROJECT}/classifier-{stack}/classifier@{digest}"


def _set(stack: str, **more: Any) -> dict[str, Any]:
    least = {"gcp:project": cloud.PROJECT, "gcp:region": cloud.REGION, "allowlist": ALLOWLIST}
    return {**least, "image": image(stack), **more}


STACKS = {
    "foundations": Stack("dev", _set("dev", image="")),
    "dev": Stack("dev", _set("dev"), base="foundations"),
    "single": Stack("dev", _set("dev", topology="single"), base="foundations"),
    "https": Stack("dev", _set("dev", https=True, domains=["classify.example.com", "example.org"]), base="dev"),
    "iap": Stack(
        "dev",
        _set(
            "dev",
            allowlist=["0.0.0.0/0", "::/0"],
            https=True,
            domains=["classify.example.com"],
            iapMembers=["group:team@example.com", "user:someone@example.com"],
        ),
        base="dev",
    ),
    "spot-off": Stack("dev", _set("dev", spotMax=0, onDemandMin=2, onDemandMax=4), base="dev"),
    "everything": Stack(
        "dev",
        _set(
            "dev",
            allowlist=MANY_RANGES,
            alertEmails=["team@example.com"],
            billingAccount="012345-6789AB-CDEF01",
            iapSsh=True,
            monthlyBudgetUsd=100,
            onDemandMax=3,
            onDemandMin=3,
            wafPreview=False,
            wafRules=["scannerdetection-v33-stable", "protocolattack-v33-stable"],
        ),
        base="dev",
    ),
    "pipeline": Stack(
        "dev",
        _set(
            "dev",
            commentSecret="github-comments",
            githubInstallation=42,
            githubTokenSecret="github-token",  # a secret's name
            pipeline=True,
            repository="team/classifier",
        ),
        base="dev",
    ),
    "prod": Stack("prod", _set("prod", domains=["classify.example.com"])),
}


def deploy(
    engine: Engine, stack: Stack, *, preview: bool = False, project: Project = PROJECT, **more: Any
) -> Deployment:
    """Run the program for a stack; `more` is set on top, `project` may be a changed copy."""
    return engine.run(
        project.program,
        project.configuration(stack.name, {**stack.more, **more}),
        project=project.name,
        stack=stack.name,
        root=project.root,
        preview=preview,
    )
