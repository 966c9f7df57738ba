"""What each update of a stack must be given again, since its file does not hold it: the image and the last renewal.

Both stand in the stack's outputs. They are handed to Pulumi in a copy of the stack's file (--config-file): --config
would write them into the file itself, where every build and every rollback would leave a change to be committed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra import configuration, names


@dataclass(frozen=True)
class Carried:
    """An image by digest, and the date from which its machines are; nothing where there are none yet."""

    image: str = ""
    refreshed: str = ""

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Carried:
        """Read it from a stack's outputs."""
        return cls(**{name: str(outputs.get(name) or "") for name in names.CARRIED})

    def __str__(self) -> str:
        """Return it for a sentence."""
        return self.image + (f", renewed {self.refreshed}" if self.refreshed else "")


@contextmanager
def configuration_file(stack: str, carried: Carried, *, wait: bool) -> Iterator[str]:
    """Make the configuration of one run; returns its address while the block lasts.

    Args:
        stack: whose file it begins with.
        carried: what the stack shall run; nothing leaves the file's own word, which at first there may be.
        wait: whether Pulumi waits for groups of machines.
    """
    file = Path(f"Pulumi.{stack}.yaml")
    document = configuration.stack_file(file)
    values = {name: value for name in names.CARRIED if (value := getattr(carried, name))}
    document["config"] |= {
        f"{names.PULUMI_PROJECT}:{name}": value for name, value in {**values, "waitForInstances": wait}.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        copy.write_text(yaml.safe_dump(document), "utf-8")
        yield str(copy)
