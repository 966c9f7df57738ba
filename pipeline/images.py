"""Images by their digest: the bytes that were tested are the bytes that run."""

from __future__ import annotations

from infra import names
from pipeline.errors import StepFailed


def by_digest(image: str) -> str:
    """Return `image` where it is an address by digest.

    Raises:
        StepFailed: it is a tag, or nothing at all.
    """
    if not image:
        raise StepFailed(
            "no image was given: run the step `push` first, or give IMAGE=HOST/PROJECT/REPOSITORY/classifier@sha256:..."
        )
    if not names.IMAGE.fullmatch(image):
        raise StepFailed(
            f"the image is {image!r}: expected a digest, HOST/PROJECT/REPOSITORY/classifier@sha256:..., since a tag "
            "can move under a running fleet. The step `push` prints it. The fleet runs on unchanged."
        )
    return image


def description(image: str) -> list[str]:
    """Return gcloud's words that describe an image by digest in Artifact Registry.

    As a version of a package: `docker images describe` also asks Container Analysis where that is on, which no account
    of a build may do (gcloud 528.0.0: GetImageSummaryMetadata).
    """
    address, _, digest = image.partition("@")
    host, project, repository, package = address.split("/", 3)
    location = host.removesuffix("-docker.pkg.dev")
    where = [f"--package={package}", f"--repository={repository}", f"--location={location}", f"--project={project}"]
    return ["artifacts", "versions", "describe", digest, *where, "--format=json"]


def moved(image: str, registry: str) -> str:
    """Return the address that the digest of `image` would have in another repository, `registry`."""
    return f"{registry}/classifier@{image.partition('@')[2]}"
