"""What is installed is what was pinned: exact versions, with hashes, and pip is told to insist on them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

FILES = sorted((REPOSITORY / "requirements").glob("*.txt"))
# The same version is another file on PyTorch's own index than in the package registry (requirements/README.md).
WITHOUT_HASHES = "torch.txt"
INSTALLERS = [REPOSITORY / name for name in ("Makefile", "Dockerfile", "pipeline/rollout.sh")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_requirement_is_an_exact_version_with_hashes(file: Path) -> None:
    lines = [line for line in file.read_text("utf-8").splitlines() if line[:1] not in ("", "#", "-", " ")]
    assert lines
    # A backslash goes on with the hashes.
    end = "" if file.name == WITHOUT_HASHES else r" \\"
    assert [line for line in lines if not re.fullmatch(rf"[\w.-]+(\[[\w,-]+\])?==[^\s;]+( ;.+)?{end}", line)] == []


@pytest.mark.parametrize("file", INSTALLERS, ids=lambda file: file.name)
def test_pip_insists_on_the_hashes(file: Path) -> None:
    text = file.read_text("utf-8").replace("\\\n", " ")
    every = re.findall(r"(?:install|INSTALL\)) [^\n&]*\.txt", text)
    commands = [command for command in every if WITHOUT_HASHES not in command]
    assert commands
    assert [command for command in commands if "--no-deps" not in command or "--require-hashes" not in command] == []


def test_the_table_of_the_files_is_complete() -> None:
    table = re.findall(r"^\| `([\w.]+)`", (REPOSITORY / "requirements" / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(table) == [file.name for file in FILES]
