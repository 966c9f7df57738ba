"""Each invariant fails on a program with the mistake that it is there for, run through the same engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra import mutations
from tests.infra.engine import Engine
from tests.infra.invariants import INVARIANTS
from tests.infra.mutations import Mutation
from tests.infra.stacks import PROJECT, STACKS, deploy

MUTATIONS = mutations.read()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_the_mistake_is_noticed(mutation: Mutation, engine: Engine, tmp_path: Path) -> None:
    deployment = deploy(engine, STACKS[mutation.stack], project=mutation.apply(PROJECT, tmp_path))
    assert deployment.exit_code == 0, f"a program that does not run proves nothing: {deployment.said('error')}"
    assert list(INVARIANTS[mutation.outage](deployment)) != []


def test_every_invariant_has_a_mistake_that_it_notices() -> None:
    assert {mutation.outage for mutation in MUTATIONS} == INVARIANTS.keys()
