"""A machine as its template describes it: the unit in its cloud-init, and the container that the unit runs."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

import yaml

from tests.infra.deployment import Resource


@dataclass(frozen=True)
class Machine:
    """What a template's machines do.

    Attributes:
        unit: the text of the systemd unit that runs the container.
        options: the options of `docker run`, each as `--name=value` or `--name`.
        image: the image that runs.
    """

    unit: str
    options: tuple[str, ...]
    image: str

    @property
    def environment(self) -> dict[str, str]:
        return dict(value.split("=", 1) for value in self.option("--env"))

    @property
    def published(self) -> dict[int, int]:
        """Return the container's ports by the machine's."""
        return {int(outside): int(inside) for outside, inside in (v.split(":") for v in self.option("--publish"))}

    def option(self, name: str) -> list[str]:
        return [option.split("=", 1)[1] for option in self.options if option.startswith(f"{name}=")]

    def seconds(self, setting: str) -> int:
        """Return a number of seconds from the unit, `seconds("TimeoutStopSec")`."""
        (value,) = re.findall(rf"^{setting}=(\d+)$", self.unit, re.MULTILINE)
        return int(value)


def of(template: Resource) -> Machine:
    """Read a template's user-data.

    Raises:
        AssertionError: it has none, or none with exactly one unit that runs Docker.
    """
    text = template.inputs.get("metadata", {}).get("user-data", "")
    assert text.startswith("#cloud-config\n"), f"{template} has no cloud-config: {text[:40]!r}"
    files = yaml.safe_load(text)["write_files"]
    (unit,) = [file["content"] for file in files if "docker run" in file["content"]]
    (command,) = re.findall(r"^ExecStart=(.*)$", unit.replace("\\\n", " "), re.MULTILINE)
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("/usr/bin/docker", "run"), command
    *options, image = words
    return Machine(unit, tuple(options), image)
