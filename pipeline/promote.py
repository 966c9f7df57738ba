"""One image from one stack's repository to another's, as it is: what was tested there is what runs here.

`python -m pipeline.promote IMAGE HOST/PROJECT/REPOSITORY` does that much by hand; `make promote` goes on with a
rollout. gcloud copies it from registry to registry, byte for byte, where Docker would pack anew what it had unpacked:
under another digest, it would be another image. What the rollout asks of it is left in .pipeline, as the steps `start`
and `push` leave it for an image that was built.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from infra import names
from pipeline import commands, images
from pipeline.answers import ARTIFACTS
from pipeline.errors import StepFailed, log, main

_EXTRACT = Path(__file__).with_name("extract.sh")
_COMMIT = "org.opencontainers.image.revision"


def promote(image: str, registry: str) -> str:
    """Bring an image to another repository; returns its address there, by the same digest.

    Args:
        image: its address by digest.
        registry: the other repository, HOST/PROJECT/REPOSITORY.

    Raises:
        StepFailed: it cannot be had, is none of this project's, or would not be the same there.
    """
    image = images.by_digest(image)
    target = images.moved(image, registry)
    extract(image)
    if not _holds(target):
        # The digest in the tag: the same commit may have been built twice, and what a tag leaves is cleared away.
        name, _, digest = target.partition("@sha256:")
        tag = f"{name}:{commit(image)}-{digest[:12]}"
        result = commands.run(["gcloud", "container", "images", "add-tag", image, tag, "--quiet"])
        if result.code:
            raise StepFailed(
                f"{image} cannot be copied to {tag}: {result.last_words} Your account reads the one repository and "
                "writes the other. Nothing was deployed."
            )
        if not _holds(target):
            raise StepFailed(
                f"{tag} has another digest than {image}, so that it is not what was tested: copy it as it is, "
                f"`crane copy {image} {tag}`, and promote it again. Nothing was deployed."
            )
    (ARTIFACTS / "digest").write_text(f"{target}\n")
    log(f"promote: {target}")
    return target


def extract(image: str) -> None:
    """Leave an image's known answers and list of contents in .pipeline, in place of any other image's.

    Raises:
        StepFailed: the image cannot be had, or holds none.
    """
    if _engine("image", "inspect", image).code:
        _pull(image)
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    created = _engine("create", image)
    if created.code:
        raise StepFailed(f"{image} cannot be opened: {created.last_words}")
    container = created.output.split()[-1]
    try:
        if subprocess.run([_EXTRACT, container], check=False).returncode:
            raise StepFailed(f"{image} cannot be tested, see above. Nothing was deployed.")
    finally:
        _engine("rm", container)


def commit(image: str) -> str:
    """Return the commit that an image on this machine was built from, which its service says, too.

    Raises:
        StepFailed: the image does not say.
    """
    said = _engine("image", "inspect", "--format", f'{{{{index .Config.Labels "{_COMMIT}"}}}}', image).output.strip()
    if not said:
        raise StepFailed(f"{image} does not say its commit ({_COMMIT}): is it one of this project's?")
    return said


def _pull(image: str) -> None:
    result = _engine("pull", "--quiet", image)
    if result.code:
        raise StepFailed(
            f"{image} cannot be pulled ({result.last_words}): does it still exist, and is Docker signed in, with "
            "`gcloud auth configure-docker HOST`? Nothing was deployed."
        )


def _holds(image: str) -> bool:
    """Return whether the registry has an image under just this digest."""
    return _engine("pull", "--quiet", image).code == 0


def _engine(*arguments: str) -> commands.Result:
    return commands.run([_docker(), *arguments], quiet=True)


def _docker() -> str:
    return os.environ.get("DOCKER", "docker")


def _main() -> None:
    if len(sys.argv) != 3:
        raise StepFailed("expected an image by digest and a repository, HOST/PROJECT/REPOSITORY.")
    if not names.REGISTRY.fullmatch(sys.argv[2]):
        raise StepFailed(
            f"the repository is {sys.argv[2]!r}: expected HOST/PROJECT/REPOSITORY, the project by its id. Nothing was "
            "deployed."
        )
    promote(sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main(_main)
