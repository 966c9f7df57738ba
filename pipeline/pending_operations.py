"""Mends a stack whose update was ended from outside while it made something.

The state says what was being made, and Pulumi leaves it at that: the next update warns and makes a second one beside
it. For a group of machines that is a fleet that costs and that nobody knows, and whose template can never be removed.
So what exists is taken into the state, and what was never made is forgotten, which the next update then makes.
"""

from __future__ import annotations

from pipeline import commands, import_ids
from pipeline.checkout import StackLocation
from pipeline.engine_events import title
from pipeline.errors import StepFailed, log
from pipeline.import_ids import Again, ById, ByTitle
from pipeline.pulumi_cli import Refused
from pipeline.stack import Stack
from pipeline.state import Resource, State


def mend(stack: Stack, state: State, location: StackLocation) -> None:
    """Take into the state what an interrupted update has made at Google.

    The interrupted operations stay in the state, and are to be forgotten by a refresh afterwards.

    Raises:
        StepFailed: something of it exists and cannot be taken into the state, or nobody can say.
    """
    for resource in state.creating:
        known = state.find(resource.urn)
        rule = import_ids.rule(resource.type)
        if isinstance(rule, Again):
            log(f"mend: {title(resource.urn)} is made again, which changes nothing where it was made")
        elif rule is None:
            raise StepFailed(
                f"an update was ended while it made {title(resource.urn)}, and nothing says how to find that at "
                "Google: add its kind to pipeline/import_ids.py."
            )
        elif known and _is(known, resource):
            log(f"mend: {title(resource.urn)} is in the state already")
        elif known:
            _remove(stack, rule, resource, location)
        elif identifier := _identifier(rule, resource, state, location):
            _adopt(stack, resource, identifier)
        else:
            log(f"mend: {title(resource.urn)} was not made")


def _is(known: Resource, resource: Resource) -> bool:
    """Return whether what the state knows is what was being made, and not what that was to replace."""
    name = resource.inputs.get("name")
    return bool(name) and name in (known.inputs.get("name"), known.outputs.get("name"), known.id.rsplit("/", 1)[-1])


def _identifier(rule: ById | ByTitle, resource: Resource, state: State, location: StackLocation) -> str:
    """Return the id by which Pulumi imports a resource, or nothing where there is none."""
    if isinstance(rule, ById):
        return import_ids.fill(rule.form, resource.inputs, location.project, location.region)
    wanted = import_ids.title(rule, resource.inputs)
    words = [import_ids.fill(word, resource.inputs, location.project, location.region) for word in rule.command]
    command = ["gcloud", *words, f"--project={location.project}", "--format=json", "--quiet"]
    numbers = [item[rule.id] for item in commands.json_output(command) if item.get(rule.key) == wanted]
    # One that the state has under another name in the program is not this one.
    taken = {item.id for item in state.resources}
    forms = (
        import_ids.fill(rule.form, {**resource.inputs, "id": item}, location.project, location.region)
        for item in numbers
    )
    return next((form for form in forms if form not in taken), "")


def _adopt(stack: Stack, resource: Resource, identifier: str) -> None:
    table = {"parent": resource.parent}
    resource_spec = {"type": resource.type, "name": resource.name, "id": identifier, "parent": "parent"}
    provider, _, _ = resource.provider.rpartition("::")
    if provider and not provider.rsplit("::", 1)[-1].startswith("default"):
        table["provider"] = provider
        resource_spec["provider"] = "provider"
    try:
        stack.adopt(resource_spec, table)
    except Refused as reason:
        if "does not exist" not in reason.said:
            raise StepFailed(
                f"an update was ended while it made {title(resource.urn)}, which cannot be taken into the state now: "
                f"{reason}"
            ) from reason
        log(f"mend: {title(resource.urn)} was not made")
    else:
        log(f"mend: {title(resource.urn)} had been made, and is in the state now")


def _remove(stack: Stack, rule: ById | ByTitle, resource: Resource, location: StackLocation) -> None:
    """Remove what was to replace something that still serves: the next update makes another replacement."""
    name = str(resource.inputs.get("name", ""))
    if not (isinstance(rule, ById) and rule.removal and name):
        log(f"mend: {title(resource.urn)} was being replaced; if the new one was made, it stays at Google beside it")
        return
    words = [import_ids.fill(word, resource.inputs, location.project, location.region) for word in rule.removal]
    scope = [word for word in words if word.startswith("--")]
    command = ["gcloud", *(word for word in words if word not in scope), "delete", name, *scope]
    stack.confirm()
    result = commands.run([*command, f"--project={location.project}", "--quiet"], quiet=True)
    if not result.code:
        log(f"mend: {name} was to replace {title(resource.urn)}, which serves, and was removed")
    elif "not found" in result.errors.lower():
        log(f"mend: {name} was to replace {title(resource.urn)}, and was not made")
    else:
        raise StepFailed(
            f"an update was ended while it made {name}, which cannot be removed now: {result.last_words} Remove it, "
            f"then run this again: `{' '.join(command)}`."
        )
