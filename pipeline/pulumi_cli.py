"""Pulumi's command line under pulumi.automation, for one stack: how it is started, and what its refusals mean.

The library starts the command line and reads its JSON and its events. What is ours: the state's bucket is named in the
environment, since `pulumi login` would change what a person's own later commands talk to, and for the same reason no
stack is selected; each command is shown; it is ended with us, by a signal that it can answer; and its errors become
sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.automation import CommandResult, LocalWorkspace, PulumiCommand
from pulumi.automation.errors import (
    ConcurrentUpdateError,
    InvalidVersionError,
    StackNotFoundError,
    create_command_error,
)
from semver import VersionInfo

from pipeline import commands
from pipeline.errors import Locked, StepFailed

# Reads its options from the environment too, which the library cannot give (--refresh=false).
_OLDEST = VersionInfo(3, 208)
_SHOWN = ("up", "preview", "refresh", "import", "destroy")


class Interrupted(StepFailed):
    """Pulumi was ended from outside, in the middle of what it did."""


class Refused(StepFailed):
    """Pulumi failed; `said` is all that it said."""

    def __init__(self, sentence: str, said: str) -> None:
        self.said = said
        super().__init__(sentence)


@dataclass(frozen=True)
class Backend:
    """A stack's name and the bucket of its state, for the sentences."""

    stack: str
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        """Return what the command line reads."""
        return {"PULUMI_BACKEND_URL": self.bucket, "PULUMI_SKIP_UPDATE_CHECK": "true"}


class Pulumi(PulumiCommand):
    """The command line; every command of the library passes here."""

    def __init__(self, backend: Backend, *, quiet: bool) -> None:
        commands.require("pulumi")
        try:
            super().__init__()
        except (InvalidVersionError, RuntimeError) as error:
            # What answers is no Pulumi, or one from before what the library knows.
            raise StepFailed(
                f"`pulumi version` does not answer as Pulumi's command line does ({' '.join(str(error).split())}): "
                f"install {_OLDEST} or newer (docs/deployment.md)."
            ) from error
        if self.version and self.version < _OLDEST:
            raise StepFailed(f"pulumi {self.version} is too old: install {_OLDEST} or newer (docs/deployment.md).")
        self._backend, self._quiet = backend, quiet

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,  # noqa: ARG002  # the library's signature
    ) -> CommandResult:
        """Run a command to its end.

        Raises:
            StepFailed: it failed, which one sentence explains.
        """
        result = commands.run(
            ["pulumi", *args, "--non-interactive"],
            {**additional_env, "PULUMI_AUTOMATION_API": "true"},
            quiet=self._quiet or args[0] not in _SHOWN,
            folder=cwd,
            on_output=on_output,
        )
        if result.code:
            raise _reason(result, self._backend)
        return CommandResult(result.output, result.errors, 0)


class Workspace(LocalWorkspace):
    """This checkout as the library sees it."""

    def __init__(self, backend: Backend, *, refresh: bool, quiet: bool) -> None:
        """Start the command line once, for its version.

        Args:
            backend: the stack and its state.
            refresh: whether updates look at every resource first, as Pulumi.yaml wants it of people. The pipeline's
                accounts may not read the foundations, and refresh by themselves what they manage.
            quiet: whether nothing of what it does is shown.
        """
        environment = backend.environment if refresh else {**backend.environment, "PULUMI_OPTION_REFRESH": "false"}
        super().__init__(work_dir=str(Path.cwd()), env_vars=environment, pulumi_command=Pulumi(backend, quiet=quiet))

    def select_stack(self, stack_name: str) -> None:
        """Select nothing: every command names its stack, and the selection is the person's own."""


def _reason(result: commands.Result, backend: Backend) -> StepFailed:
    """Turn Pulumi's words into a sentence with a remedy."""
    if result.code < 0:
        return Interrupted(
            f"Pulumi was ended by signal {-result.code} while it changed the stack {backend.stack}: was there enough "
            "memory?"
        )
    error = create_command_error(CommandResult(result.output, result.errors, result.code))
    said = result.errors + result.output
    if isinstance(error, ConcurrentUpdateError):
        holder = next((line.strip() for line in said.splitlines() if ": created by" in line), "by an unknown process")
        return Locked(
            f"the stack {backend.stack} is locked by a Pulumi outside `make` ({holder}): wait for that update to end "
            f"or, where it died, run `PULUMI_BACKEND_URL={backend.bucket} pulumi cancel --stack {backend.stack}`."
        )
    if isinstance(error, StackNotFoundError):
        return StepFailed(
            f"there is no stack {backend.stack} in {backend.bucket}: make it with `make bootstrap "
            f"STACK={backend.stack}`."
        )
    return _of_state(said, result.last_words, backend) or _of_program(said, result.last_words, backend)


def _of_state(said: str, words: str, backend: Backend) -> StepFailed | None:
    """Return why the state cannot be read; its words were seen of Pulumi 3.272 and 3.274."""
    if "could not find default credentials" in said or "invalid_grant" in said:
        return StepFailed("Pulumi is not signed in to Google: run `gcloud auth application-default login`.")
    if "passphrase" in said:
        return StepFailed(
            f"Pulumi.{backend.stack}.yaml names no key of Cloud KMS, so that Pulumi asks for a passphrase: make the "
            "stack with `make bootstrap` and commit the file."
        )
    if "cloudkms" in said.lower() and ("denied" in said.lower() or "Error 403" in said):
        return StepFailed(
            f"this account may not use the key of stack {backend.stack}: grant it as docs/pipeline.md says. Pulumi "
            f"says: {words}"
        )
    if "blob (" not in said and "unable to check if bucket" not in said and "unable to open bucket" not in said:
        return None
    if "bucket doesn't exist" in said or "notFound" in said:
        return StepFailed(
            f"the state bucket {backend.bucket} does not exist: run `make bootstrap STACK={backend.stack} PROJECT=... "
            "REGION=...`, or correct gcp:project in the stack's file."
        )
    if "Error 403" in said or "PermissionDenied" in said:
        return StepFailed(
            f"this account may not read the state bucket {backend.bucket}: grant it as docs/pipeline.md says. Pulumi "
            f"says: {words}"
        )
    return StepFailed(
        f"the state bucket {backend.bucket} cannot be reached: is there a way to storage.googleapis.com? Pulumi says: "
        f"{words}"
    )


def _of_program(said: str, words: str, backend: Backend) -> StepFailed:
    """Return what the program or the command line refuses, with the lines that say which setting is wrong."""
    refused = re.search(
        r"(The configuration of stack .* has mistakes\.)\n(.*?)(?=\n\s*\n|\n\s*error: |\Z)", said, re.DOTALL
    )
    if refused:
        # Pulumi adds a line of its own for a program that ends in an error.
        lines = [line.strip() for line in refused[2].splitlines()]
        mistakes = "".join(f"\n  {line}" for line in lines if line and "an unhandled error occurred" not in line)
        return StepFailed(f"Pulumi.{backend.stack}.yaml has mistakes, and nothing was changed:{mistakes}")
    if "validating stack config" in said:
        return StepFailed(f"Pulumi.{backend.stack}.yaml has a mistake, and nothing was changed: {_tail(words)}")
    return Refused(f"Pulumi failed on stack {backend.stack}: {_tail(words)}", said)


def _tail(words: str) -> str:
    return words.removeprefix("error: ").removeprefix("validating stack config: ")
