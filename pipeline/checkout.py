"""What this checkout says: its commit, and where its stacks live."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.errors import Stop


@dataclass(frozen=True)
class Place:
    """Google's project and region of a stack."""

    project: str
    region: str

    @property
    def backend(self) -> str:
        """Return where Pulumi keeps the state; bootstrap.sh makes it under this name."""
        return f"gs://{self.project}-pulumi-state"


def place(stack: str) -> Place:
    """Read a stack's place from Pulumi.STACK.yaml.

    Raises:
        Stop: the file is missing, damaged, or does not say.
    """
    file = Path(f"Pulumi.{stack}.yaml")
    remedy = f"make the stack with `make bootstrap STACK={stack} PROJECT=... REGION=...`."
    try:
        config = yaml.safe_load(file.read_text("utf-8")).get("config") or {}
    except FileNotFoundError as error:
        raise Stop(f"{file} is missing: {remedy}") from error
    except (yaml.YAMLError, AttributeError) as error:
        raise Stop(f"{file} is no configuration of Pulumi ({error}): {remedy}") from error
    found = Place(str(config.get("gcp:project") or ""), str(config.get("gcp:region") or ""))
    if not (found.project and found.region):
        raise Stop(f"{file} does not say gcp:project and gcp:region: {remedy}")
    return found


def commit() -> str:
    """Return the commit that is checked out, zeros where this is no repository."""
    return _git("rev-parse", "HEAD") or "0" * 40


def changes() -> str:
    """Return the first file with changes that are in no commit, or nothing.

    The stacks' files do not count: Pulumi writes to them, the image that it deploys too, and they are in no image.
    """
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!Pulumi.*.yaml").splitlines()
    return changed[0].strip() if changed else ""


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S607  # git
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
