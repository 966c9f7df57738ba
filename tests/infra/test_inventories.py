"""What each stack consists of is what inventories/ say, so that a change of the program shows as a diff there.

`pytest tests/infra/test_inventories.py --update-inventories` writes the files again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra import inventory
from tests.infra.conftest import Deployed
from tests.infra.stacks import STACKS

FOLDER = Path(__file__).with_name("inventories")


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_consists_of_what_its_inventory_says(
    stack: str, deployed: Deployed, pytestconfig: pytest.Config
) -> None:
    base = STACKS[stack].base
    told = f"# The stack {stack}" + (f", where it is other than {base}.\n" if base else ", in full.\n")
    text = told + inventory.render(deployed(stack), deployed(base) if base else None)
    file = FOLDER / f"{stack}.yaml"
    if pytestconfig.getoption("update_inventories"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    assert file.exists(), f"{file} is missing: write it with --update-inventories"
    assert text.splitlines() == file.read_text("utf-8").splitlines(), (
        "if this change is meant, write the inventories again with --update-inventories and review their diff"
    )


def test_there_is_an_inventory_for_every_stack_and_for_nothing_else() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == STACKS.keys()
