"""What this checkout says: its commit, and where its stacks are."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra import configuration, names
from infra.settings import Settings
from pipeline.errors import StepFailed


@dataclass(frozen=True)
class StackLocation:
    """Google's project and region of a stack."""

    project: str
    region: str

    @property
    def backend(self) -> str:
        """Return where Pulumi keeps the state; `make bootstrap` makes it."""
        return f"gs://{names.state_bucket(self.project)}"


def location(stack: str) -> StackLocation:
    """Read a stack's location from Pulumi.STACK.yaml.

    Raises:
        StepFailed: the file is missing, damaged, or does not say.
    """
    file = Path(f"Pulumi.{stack}.yaml")
    remedy = f"make the stack with `make bootstrap STACK={stack} PROJECT=... REGION=...`."
    try:
        config = configuration.stack_file(file)["config"]
    except FileNotFoundError as error:
        raise StepFailed(f"{file} is missing: {remedy}") from error
    except configuration.SettingError as error:
        raise StepFailed(f"{error}: mend it, or remove it and {remedy}") from error
    where = StackLocation(str(config.get("gcp:project") or ""), str(config.get("gcp:region") or ""))
    if not (where.project and where.region):
        raise StepFailed(f"{file} does not say gcp:project and gcp:region: {remedy}")
    # The bucket with the state is named for the project, before the program can judge its settings.
    if not names.PROJECT.fullmatch(where.project):
        raise StepFailed(
            f"{file} is for the project {where.project!r}: expected a project's id such as my-project-123, without a "
            "domain. Nothing was changed."
        )
    return where


def stack_settings(stack: str, **carried: str) -> Settings:
    """Read and check a stack's settings as the program would, before anything of Google's or Pulumi's is asked.

    Args:
        stack: the stack's name.
        carried: what the file lacks and each update is given, such as the image.

    Raises:
        StepFailed: the file is missing; or with a line for each mistake in it.
    """
    location(stack)
    try:
        return configuration.load(Path(), stack, **carried)
    except configuration.SettingError as error:
        lines = "".join(f"\n  {line}" for line in str(error).splitlines())
        raise StepFailed(f"Pulumi.{stack}.yaml has mistakes, and nothing was changed:{lines}") from error


def commit() -> str:
    """Return the commit that is checked out, zeros where this is no repository."""
    return _git("rev-parse", "HEAD") or "0" * 40


def committed(commit: str) -> int:
    """Return when a commit was made, in seconds since 1970; 0 where this checkout does not know it."""
    said = _git("show", "--no-patch", "--no-show-signature", "--format=%ct", f"{commit}^{{commit}}") if commit else ""
    return int(said) if said.isdecimal() else 0


def changes() -> str:
    """Return the first file with changes that are in no commit, or nothing.

    The stacks' files do not count: they are in no image, and `pulumi config set` writes to them.
    """
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!Pulumi.*.yaml").splitlines()
    return changed[0].strip() if changed else ""


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S607  # git
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
