"""Each invariant fails on a program with the mistake that it is there for, run through the same engine."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra import mutations
from tests.infra.engine import Engine
from tests.infra.invariants import INVARIANTS
from tests.infra.mutations import Mutation
from tests.infra.stacks import PROJECT, STACKS, deploy

MUTATIONS = mutations.read()


@pytest.mark.mutation
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_the_mistake_is_noticed(mutation: Mutation, engine: Engine, tmp_path: Path) -> None:
    deployment = deploy(engine, STACKS[mutation.stack], project=mutation.apply(PROJECT, tmp_path))
    assert deployment.exit_code == 0, f"a program that does not run proves nothing: {deployment.said('error')}"
    assert list(INVARIANTS[mutation.outage](deployment)) != []


def test_every_invariant_has_a_mistake_that_it_notices() -> None:
    assert {mutation.outage for mutation in MUTATIONS} == INVARIANTS.keys()


@pytest.mark.parametrize("line_length", [110, 130])
def test_a_mistake_is_found_however_the_source_is_formatted(line_length: int, tmp_path: Path) -> None:
    """Lines that are broken a little earlier or later: the same mistake makes the same program."""
    copied = tmp_path / "reformatted"
    shutil.copytree(PROJECT.program, copied / "infra")
    options = ("format", "--quiet", "--isolated", f"--line-length={line_length}")
    subprocess.run([sys.executable, "-m", "ruff", *options, copied], check=True)
    moved = 0
    for mutation in MUTATIONS:
        if mutation.file.endswith(".py"):
            original, reformatted = ((root / mutation.file).read_text("utf-8") for root in (PROJECT.root, copied))
            made, expected = (ast.dump(ast.parse(mutation.changed(text))) for text in (reformatted, original))
            assert made == expected, mutation
            moved += mutation.old not in reformatted
    assert moved, "the formatter has moved none of these lines: the test proves nothing"
