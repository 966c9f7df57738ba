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
    "dns-certificates": Stack(
        "dev",
        _set("dev", https=True, domains=["classify.example.com", "example.org"], certificates="dns"),
        base="https",
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
            monthlyBudget=100,
            onDemandMax=3,
            onDemandMin=3,
            wafPreview=False,
            wafRules=["scannerdetection-v422-stable", "protocolattack-v422-stable"],
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


# Settings turned one by one, each on top of a stack: what they make must hold to the invariants too.
VARIATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "two zones": ("dev", {"zones": ["europe-west4-a", "europe-west4-c"], "maxSurge": 2}),
    "one zone": ("dev", {"zones": ["europe-west4-b"], "maxSurge": 1}),
    "a region without zone a": (
        "dev",
        {"gcp:region": "us-east1", "image": image("dev").replace(cloud.REGION, "us-east1")},
    ),
    "Spot of a fixed size": ("dev", {"spotMin": 3, "spotMax": 3}),
    "Spot above a scaled base": ("dev", {"onDemandMin": 1, "onDemandMax": 9}),
    "a large fleet": ("prod", {"spotMax": 400, "onDemandMin": 20, "onDemandMax": 100}),
    "a newer series": ("dev", {"machineType": "c4-standard-2", "diskType": "hyperdisk-balanced"}),
    "a larger machine": ("dev", {"machineType": "n2d-highcpu-8", "diskGb": 200, "diskType": "pd-ssd"}),
    "other times": ("dev", {"drainSec": 16, "requestTimeoutSec": 5}),
    "a renewal": ("dev", {"refreshed": "2026-12-01"}),
    "an update that nobody waits for": ("prod", {"waitForInstances": False}),
    "HTTP as well, until the certificates are there": ("https", {"redirectHttp": False}),
    "both kinds of certificates": ("https", {"certificates": "both"}),
    "a client of one's own for the sign-in": ("iap", {"iapClientId": "client", "iapClientSecret": "secret"}),
    "a mirror of Docker Hub": ("pipeline", {"mirror": True}),
    "builds elsewhere": ("pipeline", {"buildRegion": "europe-west1"}),
    "no builds by the calendar": ("pipeline", {"maintenance": False}),
    "a pipeline without a repository": (
        "pipeline",
        {"repository": "", "githubInstallation": 0, "githubTokenSecret": "", "commentSecret": ""},
    ),
    "alerts, a budget and builds": (
        "pipeline",
        {"alertEmails": ["a@example.com"], "monthlyBudget": 9, "billingAccount": "012345-6789AB-CDEF01"},
    ),
    "no log of requests": ("dev", {"logSamplePercent": 0, "logLevel": "warning"}),
    "one range": ("dev", {"allowlist": ["203.0.113.7/32"]}),
    "exactly one full rule": ("dev", {"allowlist": MANY_RANGES[:10]}),
    "one range too many for a rule": ("dev", {"allowlist": MANY_RANGES[:11]}),
    "only IPv6": ("dev", {"allowlist": ["2001:db8:7::/48"]}),
    "attack rules that only log": ("dev", {"wafRules": ["sqli-v33-stable", "sqli-v422-stable"], "wafPreview": True}),
    "one machine that stays": ("single", {"onDemandMin": 1, "onDemandMax": 1}),
    "one machine with SSH and alarms": ("single", {"iapSsh": True, "alertEmails": ["a@example.com", "b@example.com"]}),
    "one machine of three zones": ("single", {"maxSurge": 5}),
    "sign-in within the allowlist": ("iap", {"allowlist": ALLOWLIST}),
    "many domains": ("https", {"domains": [f"name-{number}.example.com" for number in range(15)]}),
}


def deploy(
    engine: Engine,
    stack: Stack,
    *,
    preview: bool = False,
    before: Deployment | None = None,
    project: Project = PROJECT,
    **more: Any,
) -> Deployment:
    """Run the program for a stack; `more` is set on top, `project` may be a changed copy, `before` is what runs."""
    return engine.run(
        project.program,
        project.configuration(stack.name, {**stack.more, **more}),
        project=project.name,
        stack=stack.name,
        root=project.root,
        preview=preview,
        before=before,
    )
