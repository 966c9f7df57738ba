"""What the program, the pipeline and people must call by the same name: Pulumi's project, Google's names, their rules.

Imports the standard library alone, so that the pipeline and `make bootstrap` read it too.
"""

from __future__ import annotations

import hashlib
import re

# The name in Pulumi.yaml.
PULUMI_PROJECT = "own-cloud-classifier"

# A project's id: the one rule, wherever a project is named. Ids of a domain (example.com:name) are refused: no bucket
# can be named for them.
PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
REGION = re.compile(r"[a-z]+-[a-z]+\d+")
ZONE = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")
# The machines' account is named classifier-STACK, in at most 30 characters.
STACK = re.compile(r"[a-z]([a-z0-9-]{0,17}[a-z0-9])?")
# A repository of images, HOST/PROJECT/REPOSITORY.
REGISTRY = re.compile(rf"[a-z0-9.:-]+/{PROJECT.pattern}/[a-z0-9._-]+")
# An image by digest; the registry is what the machines may read.
IMAGE = re.compile(rf"(?P<registry>{REGISTRY.pattern})/[a-z0-9._/-]+@sha256:[0-9a-f]{{64}}")
# The system that machines boot.
MACHINE_IMAGE = re.compile(rf"projects/{PROJECT.pattern}/global/images/(family/)?[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")

# Where a build admits itself in Cloud Armor while it tests: behind Google's preconfigured rules, which would otherwise
# not be asked, and before the allowlist's throttling, which would refuse a load test.
WAF_PRIORITY = 100
TEMPORARY_ACCESS_PRIORITY = 900
ALLOWLIST_PRIORITY = 1000

# Where `make submit` puts the files of a checkout, in the state's bucket; they are removed after a week.
SUBMITTED_SOURCES = "source/"

# The components that a build makes and changes; all others are foundations, which only a person's `make up` touches.
DEPLOYED_COMPONENTS = ("Armor", "Balancer", "DirectAccess", "Fleet", "Monitoring")

# What each `pulumi up` must be given again, from the outputs of the one before: a bare one knows neither.
CARRIED = ("image", "refreshed")


def prefix(stack: str) -> str:
    """Return what the names of all of a stack's resources begin with."""
    return f"classifier-{stack}"


def registry(project: str, region: str, stack: str) -> str:
    """Return the address of a stack's repository of images, without a protocol."""
    return f"{region}-docker.pkg.dev/{project}/{prefix(stack)}"


def pull_request_repository(stack: str) -> str:
    """Return the name of the repository to which pull requests push, and from which no machine reads."""
    return f"{prefix(stack)}-pull-requests"


def mirror(stack: str) -> str:
    """Return the name of the repository that mirrors Docker Hub for a stack's builds."""
    return f"{prefix(stack)}-docker-hub"


def deployer(stack: str) -> str:
    """Return the id of the account that builds and deploys the main branch."""
    return f"pipeline-{stack}"


def previewer(stack: str) -> str:
    """Return the id of the account that builds pull requests."""
    return f"preview-{stack}"


def state_bucket(project: str) -> str:
    """Return the bucket with the state of all stacks of a project, without gs://; `make bootstrap` makes it."""
    return f"{project}-pulumi-state"


def state_key(project: str, region: str, stack: str) -> str:
    """Return the full name of the key of a stack's secrets: one for each stack, so that none opens another's."""
    return f"projects/{project}/locations/{region}/keyRings/pulumi/cryptoKeys/state-{stack}"


def rollout_lock(stack: str) -> str:
    """Return the object in the state's bucket that exists while somebody changes a stack."""
    return f"rollout/{stack}/lock.json"


def state_objects(stack: str) -> tuple[str, ...]:
    """Return the beginnings of the names of all objects of one stack in the state's bucket.

    They follow Pulumi's layout of a bucket (store.go and lock.go in pulumi's pkg/backend/diy).
    """
    project = PULUMI_PROJECT
    return (
        f".pulumi/stacks/{project}/{stack}.",
        f".pulumi/history/{project}/{stack}/",
        f".pulumi/backups/{project}/{stack}/",
        f".pulumi/journal/{project}/{stack}/",
        f".pulumi/locks/organization/{project}/{stack}/",
        f"rollout/{stack}/",
    )


def temporary_firewall(stack: str) -> str:
    """Return the firewall rule by which a build admits itself where there is no balancer."""
    return f"{prefix(stack)}-build"


def short(domain: str) -> str:
    """Return a part of a name for what belongs to a domain: Google's names have 63 characters, host names 253."""
    return f"{domain.replace('.', '-')[:16].rstrip('-')}-{hashlib.sha256(domain.encode()).hexdigest()[:6]}"


def handbook(alert: str, repository: str, branch: str) -> str:
    """Return the sentence that ends an alert's text, in Markdown: where docs/operations.md says what to do.

    `repository` is OWNER/NAME on GitHub; without one there is no address to link to.
    """
    page = f"docs/operations.md#{alert}"
    where = f"[{page}](https://github.com/{repository}/blob/{branch}/{page})" if repository else page
    return f"What it means and what to do: {where}"
