"""The steps on a laptop: those of cloudbuild.yaml, in its order, with its commands and settings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline import steps
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import PROJECT, REGION, Tools, complaint, python, run

ORDER = [step["id"] for step in yaml.safe_load((REPOSITORY / "cloudbuild.yaml").read_text("utf-8"))["steps"]]
SETTINGS = (
    *("ACTION", "ARCH", "COMMIT", "NETWORK", "PRECISION", "PROJECT", "REGION", "REGISTRY", "REPOSITORY", "STACK"),
    "WEIGHTS",
)


@pytest.fixture
def stubbed(checkout: Path) -> Path:
    """A checkout with a commit, of which every step only writes down that it ran, and with which settings."""
    document = yaml.safe_load((checkout / "cloudbuild.yaml").read_text("utf-8"))
    values = " ".join(f'"{name}=${name}"' for name in SETTINGS)
    for step in document["steps"]:
        step["entrypoint"] = "bash"
        step["args"] = ["-c", f'echo {step["id"]} {values} >> ran; test {step["id"]} != "$FAIL"'.replace("$", "$$")]
    (checkout / "cloudbuild.yaml").write_text(yaml.safe_dump(document))
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=checkout, check=True, capture_output=True)
    return checkout


def ran(checkout: Path) -> dict[str, dict[str, str]]:
    lines = (checkout / "ran").read_text().splitlines() if (checkout / "ran").exists() else []
    return {line.split()[0]: dict(pair.split("=", 1) for pair in line.split()[1:]) for line in lines}


def head(checkout: Path) -> str:
    result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def test_a_release_check_runs_every_step_before_the_push_in_order(stubbed: Path) -> None:
    result = run(python("pipeline.steps", "check"), stubbed)
    assert result.returncode == 0, result.stderr
    assert list(ran(stubbed)) == ORDER[: ORDER.index("push")]
    for settings in ran(stubbed).values():
        assert (settings["ACTION"], settings["COMMIT"], settings["REGISTRY"]) == ("check", head(stubbed), "")


def test_a_deployment_runs_them_all_with_the_stacks_own_place(stubbed: Path) -> None:
    result = run(python("pipeline.steps", "deploy"), stubbed, STACK="dev")
    assert result.returncode == 0, result.stderr
    assert list(ran(stubbed)) == ORDER
    assert ran(stubbed)["push"] == {
        "ACTION": "deploy",
        "ARCH": "",
        "COMMIT": head(stubbed),
        "NETWORK": "",
        "PRECISION": "auto",
        "PROJECT": PROJECT,
        "REGION": REGION,
        "REGISTRY": f"{REGION}-docker.pkg.dev/{PROJECT}",
        "REPOSITORY": "classifier-dev",
        "STACK": "dev",
        "WEIGHTS": "official",
    }


@pytest.mark.parametrize("failing", ["tests", "answers", "push"])
def test_nothing_runs_after_a_step_that_failed(failing: str, stubbed: Path) -> None:
    result = run(python("pipeline.steps", "deploy"), stubbed, FAIL=failing)
    assert f"the step {failing} failed, see above. Not run:" in complaint(result)
    assert list(ran(stubbed)) == ORDER[: ORDER.index(failing) + 1]


def test_what_is_in_no_commit_is_not_deployed(stubbed: Path) -> None:
    (stubbed / "pipeline" / "errors.py").write_text((stubbed / "pipeline" / "errors.py").read_text() + "# more\n")
    assert "changes that are in no commit (M pipeline/errors.py)" in complaint(
        run(python("pipeline.steps", "deploy"), stubbed)
    )
    assert ran(stubbed) == {}
    assert run(python("pipeline.steps", "check"), stubbed).returncode == 0


def test_what_pulumi_writes_to_the_stacks_file_is_no_change(stubbed: Path) -> None:
    """It writes there which image it deployed: a second deployment would be refused."""
    (stubbed / "Pulumi.dev.yaml").write_text(
        (stubbed / "Pulumi.dev.yaml").read_text() + "  own-cloud-classifier:image: x\n"
    )
    assert run(python("pipeline.steps", "deploy"), stubbed).returncode == 0


def test_a_stack_that_nobody_made(stubbed: Path) -> None:
    sentence = complaint(run(python("pipeline.steps", "deploy"), stubbed, STACK="prod"))
    assert sentence.startswith("Pulumi.prod.yaml is missing: make the stack with `make bootstrap STACK=prod")


def test_cloud_build_is_handed_the_same_settings(stubbed: Path, tools: Tools) -> None:
    chosen = {"WEIGHTS": "official", "ARCH": "resnet50", "PRECISION": "fp32"}
    assert run(python("pipeline.steps", "submit"), stubbed, tools, **chosen).returncode == 0
    (call,) = tools.calls("builds", "submit")
    (given,) = (word.partition("=")[2] for word in call if word.startswith("--substitutions="))
    assert dict(pair.split("=") for pair in given.split(",")) == {
        "_ACTION": "deploy",
        "_STACK": "dev",
        "_REGION": REGION,
        "_REPOSITORY": "classifier-dev",
        "_ACCOUNT": "pipeline-dev",
        "_WEIGHTS": "official",
        "_ARCH": "resnet50",
        "_PRECISION": "fp32",
        "COMMIT_SHA": head(stubbed),
    }
    assert f"--gcs-source-staging-dir=gs://{PROJECT}-pulumi-state/source" in call
    assert ran(stubbed) == {}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("$_A", "x"),
        ("${_A}-b", "x-b"),
        ("a$_A.b", "ax.b"),
        ("$_MISSING", ""),
        ("$$_A", "$_A"),
        ("no", "no"),
    ],
)
def test_substitutions_are_made_as_cloud_build_makes_them(text: str, made: str) -> None:
    assert steps.substitute(text, {"_A": "x"}) == made


def test_the_make_targets_are_these_steps() -> None:
    for target, action in (("release-check", "check"), ("deploy", "deploy"), ("submit", "submit")):
        result = subprocess.run(
            ["make", "--dry-run", "--always-make", target], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        assert f"-m pipeline.steps {action}" in result.stdout, target


def test_cloud_build_is_followed_in_its_own_region(stubbed: Path, tools: Tools) -> None:
    """The plain command follows logs in Cloud Storage only, and new projects may not build in every region."""
    file = stubbed / "Pulumi.dev.yaml"
    file.write_text(file.read_text() + "  own-cloud-classifier:buildRegion: us-central1\n")
    assert run(python("pipeline.steps", "submit"), stubbed, tools).returncode == 0
    (call,) = tools.calls("builds", "submit")
    assert call[:4] == ["gcloud", "beta", "builds", "submit"]
    assert "--region=us-central1" in call
    assert f"--substitutions=COMMIT_SHA={head(stubbed)},_ACCOUNT=pipeline-dev" in " ".join(call)
