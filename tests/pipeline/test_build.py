"""The step `build` with PyTorch, whose stage takes minutes: which commands it gives to Docker, by a stand-in for it."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from pipeline import pin
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import COMMIT, Tools, complaint, run

REGISTRY = "europe-west1-docker.pkg.dev/my-project"
SETTINGS = {"COMMIT": COMMIT, "WEIGHTS": "lite0", "REGISTRY": REGISTRY, "REPOSITORY": "classifier-dev", "STACK": "dev"}


@pytest.fixture
def folder(checkout: Path, tools: Tools) -> Path:
    shutil.copytree(REPOSITORY / "requirements", checkout / "requirements")
    shutil.copy(REPOSITORY / "Dockerfile", checkout)
    shutil.copy(tools.folder / "gcloud", tools.folder / "docker")
    return checkout


def build(folder: Path, tools: Tools, **more: object) -> dict[str, list[list[str]]]:
    """Run the step; returns Docker's commands by their verb."""
    result = run(["bash", "pipeline/build.sh"], folder, tools, **{**SETTINGS, **more})
    assert result.returncode == 0, result.stderr
    found: dict[str, list[list[str]]] = {}
    for call in tools.calls("docker"):
        found.setdefault(call[1], []).append(call[2:])
    return found


def sources(command: list[str]) -> list[str]:
    return [value for option, value in itertools.pairwise(command) if option == "--cache-from"]


def test_the_stage_with_pytorch_is_kept_under_what_it_holds(folder: Path, tools: Tools) -> None:
    tools.say("manifest", code=1)
    first = build(folder, tools)
    modeling, image = first["build"]
    assert modeling[modeling.index("--target") + 1] == "modeling"
    name = modeling[modeling.index("--tag") + 1]
    assert name.startswith(f"{REGISTRY}/classifier-dev/cache/modeling:")
    assert ["--quiet", name] in first["push"]
    assert name in sources(image)
    (folder / "Dockerfile").write_text((folder / "Dockerfile").read_text() + "\n# a change\n")
    tools.log.unlink()
    other = build(folder, tools)["build"][0]
    assert other[other.index("--tag") + 1] != name


def test_it_is_not_built_again_while_that_stays(folder: Path, tools: Tools) -> None:
    found = build(folder, tools)
    (image,) = found["build"]
    assert "--target" not in image
    assert len(found["manifest"]) == 1
    assert found["manifest"][0][-1] in sources(image)


def test_a_pull_request_reads_the_main_branchs_and_writes_its_own(folder: Path, tools: Tools) -> None:
    tools.say("manifest", code=1)
    found = build(folder, tools, REPOSITORY="classifier-dev-pull-requests")
    own, main = f"{REGISTRY}/classifier-dev-pull-requests/", f"{REGISTRY}/classifier-dev/"
    assert {command[-1].startswith(own) for command in found["push"]} == {True}
    assert f"{main}cache/image:latest" in sources(found["build"][-1])


def test_the_main_branch_reads_nothing_that_a_pull_request_wrote(folder: Path, tools: Tools) -> None:
    found = build(folder, tools)
    assert "pull-requests" not in json.dumps(found)


def test_without_a_registry_nothing_is_asked_or_pushed(folder: Path, tools: Tools) -> None:
    found = build(folder, tools, REGISTRY="")
    assert set(found) == {"build"}  # nor does it matter for which machine it is
    assert sources(found["build"][0]) == []


@pytest.mark.parametrize(
    ("chosen", "given"),
    [
        ({"WEIGHTS": "lite0"}, {"WEIGHTS=lite0", "ARCH=", "PRECISION=auto"}),
        ({"WEIGHTS": "official", "ARCH": "resnet50", "PRECISION": "int8"}, {"ARCH=resnet50", "PRECISION=int8"}),
        ({"WEIGHTS": "local", "PRECISION": "fp32"}, {"MODEL=local", "PRECISION=fp32"}),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_the_image_is_built_of_the_weights_that_were_asked_for(
    chosen: dict[str, str], given: set[str], folder: Path, tools: Tools
) -> None:
    (image,) = build(folder, tools, **chosen)["build"]
    arguments = {value for option, value in itertools.pairwise(image) if option == "--build-arg"}
    assert given <= arguments
    assert any(argument.startswith("WEIGHTS=") for argument in arguments) is (chosen["WEIGHTS"] != "local")


def test_docker_hubs_image_comes_through_the_mirror_under_its_full_name(folder: Path, tools: Tools) -> None:
    (reference,) = pin.references(folder / "Dockerfile")
    text = (folder / "Dockerfile").read_text()
    pinned = f"{text[: reference.start]}python:3.11@sha256:{'1' * 64}{text[reference.end :]}"
    (folder / "Dockerfile").write_text(pinned)
    mirror = f"{REGISTRY}/docker-hub/"
    (image,) = build(folder, tools, MIRROR=mirror)["build"]
    assert f"BASE={mirror}library/python:3.11@sha256:{'1' * 64}" in image
    tools.log.unlink()
    assert "BASE=" not in json.dumps(build(folder, tools, MIRROR=""))


def test_a_cache_that_cannot_be_written_costs_time_and_no_build(folder: Path, tools: Tools) -> None:
    tools.say("push", err="denied\n", code=1)
    tools.say("manifest", code=1)
    result = run(["bash", "pipeline/build.sh"], folder, tools, **SETTINGS)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("cannot be written, so that the next build takes longer") == 2
    assert len(tools.calls("build")) == 2


def test_a_stage_with_pytorch_that_cannot_be_built_stops_the_build(folder: Path, tools: Tools) -> None:
    tools.say("manifest", code=1)
    tools.say("build", err="no space left\n", code=1)
    result = run(["bash", "pipeline/build.sh"], folder, tools, **SETTINGS)
    assert complaint(result) == "the image cannot be built: see above. Nothing was pushed or changed."
    assert tools.calls("push") == []


def test_an_image_that_the_fleet_cannot_run_is_not_built(folder: Path, tools: Tools) -> None:
    """A laptop with an ARM processor would build and push it, and every machine would fail to start it."""
    tools.say("version", out="arm64\n")
    result = run(["bash", "pipeline/build.sh"], folder, tools, **SETTINGS)
    assert complaint(result).endswith("are amd64: let Cloud Build build this checkout with `make submit`.")
    assert {call[1] for call in tools.calls("docker")} == {"version"}
