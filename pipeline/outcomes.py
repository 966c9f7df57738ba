"""What a preview or an update comes to: what would change, what failed, what would be lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engine_events import Change, Failure
from pipeline.errors import StepFailed


class UpdateFailed(StepFailed):
    """`pulumi up` failed on some resources; the others may have been changed."""

    def __init__(self, stack: str, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        super().__init__(f"the stack {stack} could not be updated: {'; '.join(map(str, failures))}.")


class ProtectedResources(StepFailed):
    """The program no longer has resources that are protected, or would replace them."""

    def __init__(self, stack: str, changes: Sequence[Change]) -> None:
        self.changes = tuple(changes)
        names = ", ".join(map(str, changes))
        super().__init__(
            f"this would give up what is protected: {names}. Other people's DNS records and allowlists may name it, "
            f"and Google does not give it back. To do so all the same, run `make up STACK={stack} GIVE_UP=1`."
        )


@dataclass(frozen=True)
class Plan:
    """What an update would change, for people, and whether groups of machines come or go."""

    text: str
    moves_traffic: bool
