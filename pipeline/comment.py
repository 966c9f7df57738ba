"""Says on a pull request what it would change: one comment, which later builds of the same request rewrite.

The token lies in Secret Manager and is asked for here, not in cloudbuild.yaml: a build whose secrets cannot be had does
not start at all, and comments are an extra.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from pipeline.commands import run
from pipeline.errors import StepFailed, log
from pipeline.settings import Settings

# GitHub refuses comments above 65,536 characters.
_MOST_CHARACTERS = 60_000
_TIMEOUT_SEC = 30


def body(stack: str, image: str, preview: str) -> str:
    """Return the comment's Markdown."""
    if len(preview) > _MOST_CHARACTERS:
        preview = f"{preview[:_MOST_CHARACTERS]}\n... (cut; all of it is in the build's log)"
    fence = "`" * 4
    return (
        f"{_marker(stack)}\n**What this would change in the stack `{stack}`**\n\n"
        f"All tests passed. `{image.partition('@')[2][:19]}...` stands for the image that the main branch will build."
        "\n\n"
        f"<details><summary>pulumi preview</summary>\n\n{fence}diff\n{preview}\n{fence}\n\n</details>\n"
    )


def post(settings: Settings, text: str, token: str) -> None:
    """Write or rewrite the comment.

    Raises:
        StepFailed: GitHub refuses.
    """
    base, number = f"{settings.github_api}/repos/{settings.repository}/issues", settings.pull_request
    page = 1
    while comments := _call("GET", f"{base}/{number}/comments?per_page=100&page={page}", token):
        mine = next((item for item in comments if item["body"].startswith(_marker(settings.stack))), None)
        if mine:
            _call("PATCH", f"{base}/comments/{mine['id']}", token, {"body": text})
            return
        page += 1
    _call("POST", f"{base}/{number}/comments", token, {"body": text})


def token_from(secret: str, project: str) -> str:
    """Return a secret's newest version.

    Raises:
        StepFailed: it cannot be read.
    """
    command = ["gcloud", "secrets", "versions", "access", "latest", f"--secret={secret}", f"--project={project}"]
    result = run(command, quiet=True)
    if result.code:
        raise StepFailed(f"the secret {secret} cannot be read, so that there is no comment: {result.last_words}")
    return result.output.strip()


def _marker(stack: str) -> str:
    return f"<!-- own-cloud-classifier preview of {stack} -->"


def _call(method: str, url: str, token: str, document: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310  # GitHub's address, or a test's
        url,
        json.dumps(document).encode() if document is not None else None,
        {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SEC) as response:  # noqa: S310
            return json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            raise StepFailed(
                f"GitHub answers {error.code} to {method} {url}: let the token write to pull requests."
            ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise StepFailed(f"GitHub does not answer ({error}): the preview is in the build's log.") from error


def announce(settings: Settings, project: str, text: str) -> None:
    """Comment on a pull request, where there is one and a token for it; says why not otherwise."""
    if not (settings.repository and settings.pull_request):
        log("comment: none, since this is no pull request")
    elif not settings.comment_secret:
        log("comment: none, since no secret with a token was named (_COMMENT_SECRET)")
    else:
        post(settings, text, token_from(settings.comment_secret, project))
        log(f"comment: written on {settings.repository}#{settings.pull_request}")
