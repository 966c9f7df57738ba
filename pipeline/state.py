"""A stack's state as `pulumi stack export` shows it: its resources, and what was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra import names
from pipeline.engine_events import GROUP, name_of, type_of


@dataclass(frozen=True)
class Resource:
    """A resource of the state; `inputs` are the program's, `outputs` what Google answered."""

    urn: str
    id: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    parent: str = ""
    provider: str = ""
    protected: bool = False
    condemned: bool = False

    @property
    def type(self) -> str:
        """Return its type."""
        return type_of(self.urn)

    @property
    def name(self) -> str:
        """Return its name in the program."""
        return name_of(self.urn)


@dataclass(frozen=True)
class State:
    """A stack's resources, and those whose making was interrupted."""

    resources: tuple[Resource, ...]
    creating: tuple[Resource, ...]

    def find(self, urn: str) -> Resource | None:
        """Return the resource that the program means by a URN; what waits for its deletion is none."""
        return next((item for item in self.resources if item.urn == urn and not item.condemned), None)

    @property
    def targets(self) -> list[str]:
        """Return the patterns by which a refresh is kept to what a build deploys and may read, where it is there."""
        there = {item.type for item in self.resources}
        deployed = [f"classifier:infra:{name}" for name in names.DEPLOYED_COMPONENTS]
        return [f"**{component}$**" for component in deployed if component in there]

    @property
    def groups(self) -> dict[str, str]:
        """Return the groups of machines: their names at Google by those in the program."""
        groups = [item for item in self.resources if item.type == GROUP and not item.condemned]
        return {item.name: str(item.outputs.get("name") or item.inputs.get("name") or item.id) for item in groups}


def read(deployment: Mapping[str, Any]) -> State:
    """Read what `pulumi stack export` calls a deployment."""
    operations = deployment.get("pending_operations") or ()
    return State(
        tuple(_resource(item) for item in deployment.get("resources") or ()),
        tuple(_resource(item["resource"]) for item in operations if item.get("type") == "creating"),
    )


def _resource(item: Mapping[str, Any]) -> Resource:
    return Resource(
        urn=str(item["urn"]),
        id=str(item.get("id") or ""),
        inputs=item.get("inputs") or {},
        outputs=item.get("outputs") or {},
        parent=str(item.get("parent") or ""),
        provider=str(item.get("provider") or ""),
        protected=bool(item.get("protect")),
        condemned=bool(item.get("delete")),
    )
