"""The import rules of the design that import-linter's contracts (pyproject.toml) cannot see."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import __version__
from tests.conftest import REPOSITORY

TOP_LEVEL = ("service", "infra", "loadtest", "pipeline")


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for file in sorted((REPOSITORY / package).rglob("*.py")):
        parts = file.relative_to(REPOSITORY).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


MODULES = {name: file for package in TOP_LEVEL for name, file in modules(package)}


def imports(file: Path) -> set[str]:
    """Return every module that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_contracts_hold() -> None:
    """As `make lint` asks, and none of them is empty: each names modules that are there."""
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("KEPT") == len(CONTRACTS)


# ---- what is started by its name instead of imported

_DOTTED = re.compile(rf"(?:{'|'.join(TOP_LEVEL)})(?:\.[A-Za-z_]\w*)*")


def named(file: Path) -> set[str]:
    """Return every module of ours that a file's strings name, docstrings aside, as `python -m` and gunicorn take it."""
    tree = ast.parse(file.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    found = set()
    for text in texts:
        name = text.split(":")[0].rstrip(".")
        owner, _, last = name.rpartition(".")
        if _DOTTED.fullmatch(name) and owner:
            found.add(owner if last[0].isupper() else name)
    return found & MODULES.keys()


# Who may start what by its name: the rooms' own ways across, each with its reason.
STARTED = {
    "service.__main__": {"service.build"},  # which the production image has not
    "service.serve.start": {"service.serve.http.application"},  # gunicorn, in this process's place
    "service.serve.server.gunicorn_conf": {
        "service.serve.server.supervision",
        "service.serve.server.json_logger",
    },
    "service.build.labels": {"service.build"},  # its data file
    "service.model.engines": {"service.build"},  # asks whether it is there: in the production image it is not
    "loadtest.bench.contenders": {"loadtest.bench.plain", "loadtest.bench.peers"},
}


def _one_room(name: str, module: str) -> bool:
    return name.split(".", maxsplit=1)[0] == module.split(".", maxsplit=1)[0] in ("pipeline", "infra")


@pytest.mark.parametrize("module", [name for name, file in MODULES.items() if named(file)])
def test_what_is_started_by_name_is_on_the_list(module: str) -> None:
    """A string crosses a contract as well as an import does."""
    others = {name for name in named(MODULES[module]) if not module.startswith(name)}
    assert {name for name in others if not _one_room(name, module)} <= STARTED.get(module, set())


def test_every_name_on_the_list_is_there_and_is_started() -> None:
    for module, names in STARTED.items():
        assert names <= MODULES.keys()
        assert names <= named(MODULES[module]) | {module.rpartition(".")[0]}, module


def test_a_name_in_a_string_is_seen(tmp_path: Path) -> None:
    """The rule above can fail."""
    file = tmp_path / "module.py"
    file.write_text(
        '"""service.build"""\ncommand = ["python", "-m", "loadtest.bench.plain"]\nother = f"service.serve.{1}"\n'
    )
    assert named(file) == {"loadtest.bench.plain", "service.serve"}


# ---- the stack's components

CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
# What __main__ wires. Everything else in infra/ helps them and knows none of them.
COMPONENTS = {name for item in CONTRACTS if item["type"] == "independence" for name in item["modules"]}
INFRA_MODULES = dict(modules("infra"))


@pytest.mark.parametrize("module", INFRA_MODULES)
def test_only_infras_main_wires_the_components(module: str) -> None:
    """Their parts do not either: what one needs of another is handed to it."""
    if module != "infra.__main__":
        wired = {name for name in COMPONENTS for target in imports(INFRA_MODULES[module]) if target.startswith(name)}
        assert not wired, f"{module} imports {wired}"


def test_the_pipeline_imports_facts_of_infra_and_no_component() -> None:
    """It runs where no resource is registered: names, settings and what follows from them are all that it needs."""
    for module, file in modules("pipeline"):
        taken = {target for target in imports(file) if target.startswith("infra.")}
        assert not taken & COMPONENTS, module


def test_every_component_is_wired_and_nothing_else_registers_resources() -> None:
    """What a component is too long for is a part of it, which nobody else imports."""
    registering = {name for name, file in INFRA_MODULES.items() if "pulumi_gcp" in imports(file)}
    for part in registering - COMPONENTS:
        whole = {name for name, file in INFRA_MODULES.items() if part in imports(file)} - {"infra.__main__"}
        assert len(whole) == 1, f"{part} is a part of {whole}"
        assert whole <= COMPONENTS
    wired = {target for target in imports(INFRA_MODULES["infra.__main__"]) if target in COMPONENTS}
    assert registering & COMPONENTS == wired == COMPONENTS


def test_only_infras_configuration_reads_pulumi() -> None:
    readers = {name for name, file in INFRA_MODULES.items() if "pulumi.Config(" in file.read_text("utf-8")}
    assert readers == {"infra.configuration"}


# ---- what a process really loads


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return set(result.stdout.split())


def test_a_server_never_loads_torch() -> None:
    loaded = loaded_by("import service.serve.http.application, service.__main__")
    assert not loaded & {"torch", "torchvision", "onnx", "service.build.builder"}


def test_gunicorns_parent_stays_small() -> None:
    """The parent process loads the worker's module, and that must not pull in the application."""
    loaded = loaded_by("import service.serve.server.supervision, service.serve.server.json_logger")
    assert not loaded & {"flask", "numpy", "PIL", "openvino", "service.serve.services"}


def test_choosing_an_engine_loads_none() -> None:
    """`serve` looks at the bundle before it becomes gunicorn: what it loads there is loaded a second time later."""
    loaded = loaded_by("import service.__main__, service.model.bundle, service.model.engines")
    assert not loaded & {"flask", "numpy", "openvino", "ncnn", "gunicorn"}


def test_there_is_one_version() -> None:
    """pyproject.toml takes it from the service; the image's label has its own default."""
    assert f"ARG VERSION={__version__}\n" in (REPOSITORY / "Dockerfile").read_text("utf-8")
