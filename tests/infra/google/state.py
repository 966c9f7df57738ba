"""What else than an update changes a stack's state: a refresh, and what is made of an update that was killed."""

from __future__ import annotations

from dataclasses import replace

from tests.infra.google import provider, provider_values
from tests.infra.google.api import GoogleProject
from tests.infra.google.engine_plan import Entry, Stack


def refresh(stack: Stack, project: GoogleProject) -> list[str]:
    """Read everything anew, as `pulumi refresh` does; return the URNs of what was gone or different.

    Operations that are pending are no part of it; `--import-pending-creates` of 3.274 forgets them (finding F3).
    """
    changed = []
    for urn, entry in list(stack.entries.items()):
        kind = entry.resource.kind
        target = provider.target(kind, entry.inputs, entry.outputs)
        if not target:
            continue
        if target not in project.things:
            del stack.entries[urn]
            changed.append(urn)
        else:
            read = provider_values.read_back(kind, entry.inputs, project.held(target))
            if provider_values.diff(kind, entry.inputs, read):
                changed.append(urn)
            stack.entries[urn] = replace(entry, inputs=read)
    return changed


def import_pending(stack: Stack, project: GoogleProject) -> list[str]:
    """Take what was made but is not known into the state, as `pulumi import` does by what the state has as begun.

    Returns the URNs of what Google never made: `pulumi import` refuses them, and the next update makes them.
    """
    never_made = []
    for pending in stack.pending:
        kind, urn = pending.resource.kind, pending.resource.urn
        target = provider.target(kind, pending.inputs, pending.outputs)
        if target in project.things:
            read = provider_values.read_back(kind, pending.inputs, project.held(target))
            stack.entries[urn] = Entry(pending.resource, read, pending.outputs, imported=True)
        else:
            never_made.append(urn)
    stack.pending.clear()
    return never_made
