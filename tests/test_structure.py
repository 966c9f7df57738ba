"""The import rules of the design: who may import whom, and what a server must never load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# Lowest first. A module imports only what stands above it here; `web` and `modeling` are on one level.
LAYERS = [
    ["service"],
    ["service.settings", "service.cpus", "service.errors"],
    ["service.logs"],
    ["service.images", "service.bundle"],
    ["service.engines"],
    ["service.classifier"],
    ["service.admission"],
    ["service.telemetry"],
    ["service.lingering"],
    ["service.refusing"],
    ["service.worker"],
    ["service.web", "service.modeling"],
    ["service.bench"],
    ["service.__main__", "service.gunicorn.conf"],
]
PACKAGES = ("service.engines", "service.web", "service.modeling", "service.bench")
TOP_LEVEL = ("service", "infra", "loadtest", "pipeline")


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for file in sorted((REPOSITORY / package).rglob("*.py")):
        parts = file.relative_to(REPOSITORY).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def imports(file: Path) -> set[str]:
    """Return every module that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(module: str) -> int:
    """Return a module's layer: that of the longest listed name it lies in."""
    best = max((name for names in LAYERS for name in names if module == name or module.startswith(name + ".")), key=len)
    return next(level for level, names in enumerate(LAYERS) if best in names)


SERVICE_MODULES = dict(modules("service"))
KNOWN = {name for names in LAYERS for name in names}


@pytest.mark.parametrize("module", SERVICE_MODULES)
def test_every_module_has_its_place_in_the_layers(module: str) -> None:
    top = module if module.count(".") < 2 else module.rsplit(".", 1)[0]
    assert module in KNOWN or top in PACKAGES, f"{module} has no place in LAYERS"


@pytest.mark.parametrize("module", SERVICE_MODULES)
def test_imports_point_one_way(module: str) -> None:
    """A module imports only lower layers, or its own package."""
    package = next((name for name in PACKAGES if module.startswith(name)), None)
    for target in imports(SERVICE_MODULES[module]):
        if target not in SERVICE_MODULES or target == module:
            continue
        if package and target.startswith(package):
            continue
        assert layer(target) < layer(module), f"{module} imports {target}, which is not below it"


@pytest.mark.parametrize("package", TOP_LEVEL)
def test_the_parts_never_import_one_another(package: str) -> None:
    for module, file in modules(package):
        for target in imports(file):
            root = target.split(".")[0]
            facts = package == "pipeline" and root == "infra"
            assert root == package or root not in TOP_LEVEL or facts, f"{module} imports {target}"


def test_the_pipeline_imports_facts_of_infra_and_no_component() -> None:
    """It runs where no resource is registered: names, settings and what follows from them are all that it needs."""
    for module, file in modules("pipeline"):
        taken = {target for target in imports(file) if target.startswith("infra.")}
        assert not taken & COMPONENTS, module


# loadtest has one circle, which goes with its rebuilding.
@pytest.mark.parametrize("package", ["service", "infra", "pipeline"])
def test_no_module_imports_in_a_circle(package: str) -> None:
    files = dict(modules(package))
    wanted = {module: imports(file) & files.keys() - {module} for module, file in files.items()}
    while free := [module for module, targets in wanted.items() if not targets & wanted.keys()]:
        for module in free:
            del wanted[module]
    assert wanted == {}, "these import one another"


def test_only_modeling_imports_torch() -> None:
    """The engine that runs TorchScript imports it too, when it is made."""
    for module, file in SERVICE_MODULES.items():
        if module.startswith("service.modeling"):
            continue
        heavy = {name.split(".")[0] for name in imports(file)} & {"torch", "torchvision", "sklearn", "skimage", "onnx"}
        assert heavy == ({"torch"} if module == "service.engines.torchscript" else set()), module


# What __main__ wires. Everything else in infra/ helps them and knows none of them.
COMPONENTS = {
    f"infra.{name}"
    for name in (
        "addresses", "apis", "armor", "balancer", "budget", "build_alert", "certificates", "channels", "direct_access",
        "fleet", "health_log", "identity", "mirror", "monitoring", "network", "pipeline", "registry", "sign_in",
        "triggers",
    )
}  # fmt: skip
INFRA_MODULES = dict(modules("infra"))


@pytest.mark.parametrize("module", INFRA_MODULES)
def test_only_infras_main_wires_the_components(module: str) -> None:
    """Sibling components never import one another: what one needs of another is handed to it."""
    if module != "infra.__main__":
        wired = {name for name in COMPONENTS for target in imports(INFRA_MODULES[module]) if target.startswith(name)}
        assert not wired, f"{module} imports {wired}"


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


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return set(result.stdout.split())


def test_a_server_never_loads_torch() -> None:
    assert not loaded_by("import service.web, service.__main__") & {"torch", "torchvision", "onnx", "service.modeling"}


def test_gunicorns_parent_stays_small() -> None:
    """The parent process loads the worker's module, and that must not pull in the application."""
    assert not loaded_by("import service.worker") & {"flask", "numpy", "PIL", "openvino", "service.web"}


def test_choosing_an_engine_loads_none() -> None:
    """`serve` looks at the bundle before it becomes gunicorn: what it loads there is loaded a second time later."""
    loaded = loaded_by("import service.__main__, service.bundle, service.engines")
    assert not loaded & {"flask", "numpy", "openvino", "ncnn", "gunicorn"}


def test_the_check_sees_a_forbidden_import(tmp_path: Path) -> None:
    """The rules above can fail: a lazy import deep in a function counts."""
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from service.web import create_app\n")
    assert "service.web.create_app" in imports(file)
    assert layer("service.web.api") > layer("service.classifier")
