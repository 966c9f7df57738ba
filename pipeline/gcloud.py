"""gcloud, asked without a person at it: no prompt is waited for, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.commands import Result, run

# A prompt would wait for an answer to a question that nobody sees, and "Would you like to enable and retry?" would turn
# something on where somebody only looks.
ENVIRONMENT = {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
_LOOK_LIMIT_SEC = 60.0

# Runs a command and returns what it said.
Run = Callable[[Sequence[str]], Result]

# The words in which an API says that it is off, or was turned on too recently to know it (gcloud's api_enablement.py,
# google.rpc.ErrorInfo; Cloud KMS writes "in this project").
_OFF = ("has not been used in", "or it is disabled", "SERVICE_DISABLED", "accessNotConfigured")
_NO_BILLING = (
    "the project {project} has no billing account, without which Google makes nothing: link one with `gcloud billing "
    "projects link {project} --billing-account=XXXXXX-XXXXXX-XXXXXX`"
)
# Words of a refusal, and what they mean with what to do.
_MEANINGS = {
    "UREQ_PROJECT_BILLING_NOT_FOUND": _NO_BILLING,
    "Billing must be enabled": _NO_BILLING,
    "requires billing to be enabled": _NO_BILLING,
    "bucket name is not available": "somebody else has a bucket of this name: use another project",
    "disallowed by organization": "a policy of the organisation forbids this in {project}: ask who administers it",
    "do not currently have an active account": "gcloud is not signed in: run `gcloud auth login`",
    "problem refreshing your current auth tokens": "gcloud is no longer signed in: run `gcloud auth login`",
    "could not find default credentials": "Pulumi is not signed in: run `gcloud auth application-default login`",
}


def look(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Result:
    """Run a command that changes nothing, without showing it."""
    return run(command, {**ENVIRONMENT, **(environment or {})}, quiet=True, limit_sec=_LOOK_LIMIT_SEC)


def change(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Result:
    """Run a command that changes something; it and its output are shown."""
    return run(command, {**ENVIRONMENT, **(environment or {})})


def is_off(result: Result) -> bool:
    """Return whether the API that a command needs is off, or does not know yet that it is on."""
    return bool(result.code) and any(words in result.errors + result.output for words in _OFF)


def meaning(result: Result, project: str) -> str:
    """Return what a refusal means and what to do, without a full stop; nothing where its own words must do."""
    said = result.errors + result.output
    return next((text.format(project=project) for words, text in _MEANINGS.items() if words in said), "")
