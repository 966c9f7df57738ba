"""The table of invariants, which the modules beside this one fill."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.infra.deployment import Deployment

Invariant = Callable[[Deployment], Iterator[str]]

INVARIANTS: dict[str, Invariant] = {}


def prevents(invariant: Invariant) -> Invariant:
    """Enter a function into the table; its name is the outage that it prevents."""
    assert invariant.__name__ not in INVARIANTS, f"{invariant.__name__} is there twice"
    INVARIANTS[invariant.__name__] = invariant
    return invariant
