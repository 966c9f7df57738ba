"""What a person does to a stack, who sees what would change and says yes: `make up`, `make destroy`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from pipeline import apis, machines, preflight, transitions
from pipeline.bucket import Bucket
from pipeline.commands import json_output
from pipeline.deployment import Deployment
from pipeline.errors import StepFailed, log
from pipeline.outcomes import ProtectedResources
from pipeline.releases import forget
from pipeline.settings import Settings
from pipeline.stack import Stack
from pipeline.state import State

_MADE_BY_BOOTSTRAP = "the APIs that were enabled, the bucket with the state, its key, and the stack's file"


def up(deployment: Deployment, settings: Settings) -> None:
    """Make the stack, or change its settings, with the image that runs: at first, the foundations.

    Raises:
        ProtectedResources: it would give up what is protected, and nobody said that it may.
        StepFailed: it failed, or the answer was no.
    """
    stack = deployment.stack
    deployment.prepare()
    outputs = deployment.outputs
    transitions.check(outputs, deployment.configured)
    if settings.look or preflight.due(outputs):
        preflight.look(deployment.configured, outputs).raise_if_stopped()
    apis.ready(deployment.configured, first=not outputs)
    carried = deployment.running
    try:
        plan = stack.preview(carried, quiet=True)
    except ProtectedResources as reason:
        if not settings.give_up:
            raise
        log(f"up: may go, since GIVE_UP is set: {', '.join(map(str, reason.changes))}")
        stack.unprotect(change.urn for change in reason.changes)
        plan = stack.preview(carried, quiet=True)
    stack.up_by_hand(carried, wait=plan.moves_traffic)
    outputs = stack.outputs()
    if groups := machines.groups_of(outputs):
        deployment.wait(groups)
    if following := outputs.get("next"):
        log(f"up: next: {following}")


def ask_to_destroy(stack: Stack, settings: Settings) -> None:
    """Say what goes with a stack, and have its name typed; before anything is changed or locked.

    Raises:
        StepFailed: it was not typed.
    """
    outputs, state = stack.outputs(), stack.state()
    if not state.resources:
        raise StepFailed(f"the stack {stack.name} has no resources, so that there is nothing to destroy.")
    log(f"destroy: this removes all {len(state.resources)} resources of the stack {stack.name}, for good:")
    for line in _losses(outputs, state):
        log(f"  {line}")
    if settings.confirmed_stack:
        typed = settings.confirmed_stack
    elif sys.stdin.isatty():
        typed = input("destroy: type the stack's name to go on: ").strip()
    else:
        raise StepFailed(f"nobody is here to ask: run `make destroy STACK={stack.name} YES={stack.name}`.")
    if typed != stack.name:
        raise StepFailed(f"{typed!r} is not the stack's name, {stack.name}: nothing was changed.")


def destroy(deployment: Deployment) -> None:
    """Remove all resources of a stack, protected ones too; can be run again where it was interrupted.

    Raises:
        StepFailed: something could not be removed.
    """
    stack = deployment.stack
    deployment.prepare()
    stack.unprotect(item.urn for item in stack.state().resources if item.protected)
    stack.destroy()
    with contextlib.suppress(StepFailed):
        forget(Bucket(deployment.location.backend), stack.name)
    log(f"destroy: done. What stays: {_MADE_BY_BOOTSTRAP} (Pulumi.{stack.name}.yaml).")


def _losses(outputs: Mapping[str, Any], state: State) -> list[str]:
    lines = [
        f"the address {address} ({version}), which DNS records and allowlists may name; Google gives it to others"
        for version, address in (outputs.get("addresses") or {}).items()
    ]
    domains = sorted({str(record["name"]).rstrip(".") for record in outputs.get("records") or () if record.get("name")})
    if domains:
        lines.append(f"the service of {', '.join(domains)}, and the certificates")
    if registry := outputs.get("registry"):
        lines.append(f"{_images(registry)} in {registry}, and with them every way back")
    groups = len(state.groups)
    return [*lines, f"the machines of {groups} {'group' if groups == 1 else 'groups'}"] if groups else lines


def _images(registry: str) -> str:
    project = registry.split("/")[1]
    command = ["gcloud", "artifacts", "docker", "images", "list", registry, f"--project={project}", "--format=json"]
    try:
        return f"{len(json_output(command))} images"
    except StepFailed:
        return "all images"
