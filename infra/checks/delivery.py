"""Whether Cloud Build can deploy: what it must know about the repository on GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra import names
from infra.settings import Settings

_REPOSITORY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,255}")


def pipeline(settings: Settings) -> Iterator[str]:
    """Check the pipeline's settings."""
    if not settings.pipeline:
        for key, value in (
            ("repository", settings.repository),
            ("commentSecret", settings.comment_secret),
            ("mirror", settings.mirror),
        ):
            if value:
                yield f"{key} is {value!r} and pipeline is false: set pipeline to true, or remove {key}."
        return
    if settings.repository and not _REPOSITORY.fullmatch(settings.repository):
        yield f"repository is {settings.repository!r}: write OWNER/NAME, as in its address on GitHub after github.com/."
    if settings.build_region and not names.REGION.fullmatch(settings.build_region):
        yield f"buildRegion is {settings.build_region!r}: expected a region such as us-central1."
    if not _BRANCH.fullmatch(settings.branch):
        yield f"branch is {settings.branch!r}: write the name of one branch, such as main."
    for key, value in (
        ("commentSecret", settings.comment_secret),
        ("githubTokenSecret", settings.github_token_secret),
    ):
        if value and not _SECRET.fullmatch(value):
            yield f"{key} is {value!r}: write the name of a secret in Secret Manager, never the secret itself."
    if settings.github_installation and not settings.github_token_secret:
        yield (
            f"githubInstallation is {settings.github_installation} and githubTokenSecret is not set: name the secret "
            "with the token, or make the connection with `gcloud builds connections create github`."
        )
