"""What the tests of infra/ share: one engine for each process, and one run of each stack for all of them."""

from __future__ import annotations

import compileall
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.infra.deployment import Deployment
from tests.infra.engine import Engine
from tests.infra.stacks import PROJECT, STACKS, deploy

# Returns a stack's run, in update or in preview; each runs once in a session.
Deployed = Callable[..., Deployment]


@pytest.fixture(scope="session")
def engine(shared_folder: Path) -> Iterator[Engine]:
    # Runs write no bytecode, and each would compile the whole program.
    with FileLock(shared_folder / "bytecode.lock"):
        compileall.compile_dir(PROJECT.program, quiet=1)
    with Engine() as running:
        yield running


@pytest.fixture(scope="session")
def deployed(engine: Engine, shared_folder: Path) -> Deployed:
    runs: dict[tuple[str, bool], Deployment] = {}

    def of(stack: str, *, preview: bool = False) -> Deployment:
        if (stack, preview) not in runs:
            file = shared_folder / f"{stack}-{preview}.pickle"
            with FileLock(file.with_suffix(".lock")):
                if not file.exists():
                    file.write_bytes(pickle.dumps(deploy(engine, STACKS[stack], preview=preview)))
            runs[stack, preview] = pickle.loads(file.read_bytes())  # noqa: S301  # written a moment ago, by these tests
        return runs[stack, preview]

    return of
