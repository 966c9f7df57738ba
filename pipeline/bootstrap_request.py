"""What `make bootstrap` is asked for: read from arguments, environment and the stack's file, and checked."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import configuration, names
from pipeline.errors import StepFailed

_EXAMPLE = "as in make bootstrap PROJECT=my-project-123 REGION=europe-west1"
_FLAGS = {"--dry-run": "DRY_RUN", "--pipeline": "PIPELINE"}


@dataclass(frozen=True)
class Request:
    """What a person asks for, and what Pulumi.STACK.yaml says so far: its settings and how it calls its key."""

    project: str
    region: str
    stack: str
    allowlist: tuple[str, ...]
    dry: bool
    pipeline: bool
    settings: Mapping[str, Any]
    key_so_far: str

    @property
    def backend(self) -> str:
        """Return where the state is."""
        return f"gs://{names.state_bucket(self.project)}"

    @property
    def secrets_provider(self) -> str:
        """Return how Pulumi calls the stack's key."""
        return f"gcpkms://{names.state_key(self.project, self.region, self.stack)}"

    @property
    def environment(self) -> dict[str, str]:
        """Return what Pulumi needs: instead of `pulumi login`, which a person's other projects would notice."""
        return {"PULUMI_BACKEND_URL": self.backend, "PULUMI_SKIP_UPDATE_CHECK": "true"}


def read(arguments: Sequence[str], environment: Mapping[str, str], folder: Path = Path()) -> Request:
    """Read and check what is asked for.

    Raises:
        StepFailed: with the first mistake, and what to write instead.
    """
    if unknown := [argument for argument in arguments if argument not in _FLAGS]:
        raise StepFailed(f"{unknown[0]!r} is no option: there are {' and '.join(_FLAGS)}.")
    given = {**environment, **{_FLAGS[argument]: "1" for argument in arguments}}
    stack = given.get("STACK") or "dev"
    if not names.STACK.fullmatch(stack):
        raise StepFailed(
            f"STACK is {stack!r}: use at most 19 lower-case letters, digits and hyphens, as in dev or prod."
        )
    settings, key_so_far = _stack_file(folder / f"Pulumi.{stack}.yaml")
    known = {key: str(settings.get(f"gcp:{key.lower()}") or "") for key in ("PROJECT", "REGION")}
    values = {key: given.get(key) or known[key] for key in known}
    _check_project_and_region(values["PROJECT"], values["REGION"])
    for key, value in known.items():
        if value not in ("", values[key]):
            raise StepFailed(
                f"{key} is {values[key]!r}, and Pulumi.{stack}.yaml is for {value}: write that, take another STACK, or "
                f"remove gcp:{key.lower()} from the file."
            )
    ranges = tuple(text.strip() for text in given.get("ALLOWLIST", "").split(",") if text.strip())
    for text in ranges:
        _check_range(text)
    return Request(
        values["PROJECT"],
        values["REGION"],
        stack,
        ranges,
        _flag("DRY_RUN", given.get("DRY_RUN", "")),
        _flag("PIPELINE", given.get("PIPELINE", "")),
        settings,
        key_so_far,
    )


def _stack_file(file: Path) -> tuple[dict[str, Any], str]:
    """Return the settings in a stack's file and its key; mistakes in the settings are for `make up` to name."""
    try:
        content = configuration.stack_file(file)
    except FileNotFoundError:
        return {}, ""
    except configuration.SettingError as error:
        raise StepFailed(f"{error}: mend or remove it.") from error
    return content["config"], str(content.get("secretsprovider") or "")


def _flag(name: str, text: str) -> bool:
    if text not in ("", "0", "1"):
        raise StepFailed(f"{name} is {text!r}: write {name}=1, or leave it out.")
    return text == "1"


def _check_project_and_region(project: str, region: str) -> None:
    if ":" in project:
        raise StepFailed(
            f"PROJECT is {project!r}, a project of a domain, for which no bucket can be named: use one whose id has no "
            "domain."
        )
    if not names.PROJECT.fullmatch(project):
        raise StepFailed(f"PROJECT is {project!r}: give the project's id, {_EXAMPLE}.")
    if not names.REGION.fullmatch(region):
        raise StepFailed(f"REGION is {region!r}: give a region, not a zone, {_EXAMPLE}.")


def _check_range(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise StepFailed(
            f"ALLOWLIST holds {text!r} ({error}): give address ranges, as in ALLOWLIST=203.0.113.7/32,198.51.100.0/24."
        ) from error
    if "/" not in text:
        raise StepFailed(f"ALLOWLIST holds {text!r}: give address ranges, as in ALLOWLIST={text}/32.")
