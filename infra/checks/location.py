"""Where the stack goes, and which image it runs."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from infra import names
from infra.plans import plans
from infra.settings import Settings


def project_and_region(settings: Settings) -> Iterator[str]:
    """Check the project, the region and the stack's name."""
    if not settings.project:
        yield "gcp:project is not set: run `pulumi config set gcp:project PROJECT-ID`."
    elif not names.PROJECT.fullmatch(settings.project):
        yield (
            f"gcp:project is {settings.project!r}: expected a project's id such as my-project-123, not its number, and "
            "without a domain."
        )
    if not settings.region:
        yield "gcp:region is not set: run `pulumi config set gcp:region us-central1`, or another region."
    elif names.ZONE.fullmatch(settings.region):
        yield f"gcp:region is {settings.region!r}, which is a zone: write its region, {settings.region[:-2]}."
    elif not names.REGION.fullmatch(settings.region):
        yield f"gcp:region is {settings.region!r}: expected a region such as us-central1."
    if not names.STACK.fullmatch(settings.stack):
        yield (
            f"The stack's name is {settings.stack!r} and becomes part of Google's names: use at most 19 lower-case "
            "letters, digits and hyphens, as in dev or prod."
        )


def image(settings: Settings) -> Iterator[str]:
    """Check that the image is a digest, from where the machines may read."""
    if not settings.image:
        return
    match = names.IMAGE.fullmatch(settings.image)
    if not match:
        yield (
            f"image is {settings.image!r}: expected a digest, {settings.registry}/classifier@sha256:..., since a tag "
            "can move under a running fleet; `docker inspect --format '{{index .RepoDigests 0}}' IMAGE` prints it."
        )
    elif match["registry"] != settings.registry:
        yield (
            f"image is in {match['registry']} and the machines may read {settings.registry} only: push it there and "
            "use the digest that the push prints."
        )


def network(settings: Settings) -> Iterator[str]:
    """Check the machines' private addresses."""
    try:
        subnet = ipaddress.IPv4Network(settings.subnet_range)
    except ValueError:
        yield f"subnetRange is {settings.subnet_range!r}: expected a private range such as 10.10.0.0/20."
        return
    if not subnet.is_private:
        yield f"subnetRange is {settings.subnet_range!r}, which is public: take it from 10.0.0.0/8 or 192.168.0.0/16."
    # Google keeps four addresses of a subnet for itself (https://cloud.google.com/vpc/docs/subnets).
    room = subnet.num_addresses - 4
    needed = 1 if settings.single else sum(plan.max_size + plan.surge for plan in plans(settings))
    if room < needed:
        yield (
            f"subnetRange is {settings.subnet_range!r} with room for {max(room, 0)} machines, and an update of the "
            f"largest fleet needs {needed}: take a wider range, such as 10.10.0.0/20."
        )
