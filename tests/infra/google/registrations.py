"""Runs of the program as a file: what each registered, each registration once, compressed.

`tests/infra/recorded/programs.jsonl.gz` has those of commit 3b6c0c4 for the settings of `steps.jsonl.gz`, so that what
the real provider did with that program can be compared with the model long after the program has changed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.infra.deployment import Deployment, Resource

# By which a run is found again.
Key = tuple[str, str]


def key(stack: str, settings: Mapping[str, Any]) -> Key:
    """Return the key of a run: its stack, and what was set on top of Pulumi.<stack>.yaml."""
    return stack, json.dumps(dict(settings), sort_keys=True)


def save(file: Path, runs: Mapping[Key, Deployment]) -> None:
    """Write runs; what two of them registered alike is written once."""
    lines: list[str] = []
    numbers: dict[str, int] = {}
    for (stack, settings), run in runs.items():
        registered = []
        for resource in run.resources:
            text = json.dumps(_plain(resource), sort_keys=True)
            if text not in numbers:
                numbers[text] = len(lines)
                lines.append(text)
            registered.append(numbers[text])
        lines.append(json.dumps({"stack": stack, "settings": settings, "registered": registered}))
    # No time and no name of a file: the same runs give the same bytes.
    file.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


def load(file: Path) -> dict[Key, Deployment]:
    """Return the runs of a file by their keys."""
    resources: list[Resource | None] = []
    runs: dict[Key, Deployment] = {}
    for line in gzip.decompress(file.read_bytes()).decode().splitlines():
        entry = json.loads(line)
        if "registered" in entry:
            found = [resource for number in entry["registered"] if (resource := resources[number])]
            runs[entry["stack"], entry["settings"]] = _deployment(entry["stack"], found)
            resources.append(None)
        else:
            resources.append(_resource(entry))
    return runs


def _plain(resource: Resource) -> dict[str, Any]:
    computed = {name: value for name, value in resource.outputs.items() if name not in resource.inputs}
    return {
        "type": resource.type,
        "name": resource.name,
        "urn": resource.urn,
        "parent": resource.parent,
        "custom": resource.custom,
        "inputs": resource.inputs,
        # What nothing can refer to is left out.
        "outputs": {name: value for name, value in computed.items() if not str(value).startswith("computed-")},
        "dependencies": sorted(resource.dependencies),
        "properties": {name: sorted(urns) for name, urns in sorted(resource.property_dependencies.items())},
        "options": resource.options,
    }


def _resource(entry: Mapping[str, Any]) -> Resource:
    return Resource(
        type=entry["type"],
        name=entry["name"],
        urn=entry["urn"],
        parent=entry["parent"],
        custom=entry["custom"],
        inputs=entry["inputs"],
        secrets=frozenset(),
        outputs={**entry["inputs"], **entry["outputs"]},
        dependencies=frozenset(entry["dependencies"]),
        property_dependencies={name: frozenset(urns) for name, urns in entry["properties"].items()},
        options=entry["options"],
    )


def _deployment(stack: str, resources: Iterable[Resource]) -> Deployment:
    return Deployment(
        project="own-cloud-classifier",
        stack=stack,
        preview=False,
        config={},
        exit_code=0,
        resources=tuple(resources),
        outputs={},
        output_secrets=frozenset(),
        messages=(),
        invokes=(),
        stdout="",
        stderr="",
    )
