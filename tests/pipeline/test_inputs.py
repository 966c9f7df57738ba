"""The step `inputs`: what is missing or wrong is said before anything long or costly begins."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra import names
from pipeline import inputs
from service.model.networks import NETWORKS, Network
from tests.conftest import REPOSITORY

PROJECT, REGION = "my-project", "europe-west1"
GOOD = {
    "ACTION": "deploy",
    "COMMIT": "0123456789abcdef0123456789abcdef01234567",
    "WEIGHTS": "official",
    "PRECISION": "auto",
    "PROJECT": PROJECT,
    "REGION": REGION,
    "STACK": "dev",
    "REPOSITORY": "classifier-dev",
}
KEY = names.state_key(PROJECT, REGION, "dev")


@pytest.fixture
def commit(tmp_path: Path) -> Path:
    """What the step is run in: the commit's files, of which it needs few."""
    for file in ("pipeline/__init__.py", "pipeline/inputs.py", "infra/__init__.py", "infra/names.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / file, tmp_path / file)
    (tmp_path / "Pulumi.dev.yaml").write_text(f"secretsprovider: gcpkms://{KEY}\nencryptedkey: AAAA\nconfig: {{}}\n")
    return tmp_path


def run(folder: Path, gcloud: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the step as Google's image of gcloud does, with no package and a `gcloud` that is this script."""
    program = folder / "bin" / "gcloud"
    if gcloud:
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\n{gcloud}\n')
        program.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-S", "-m", "pipeline.inputs"],
        cwd=folder,
        env={"PATH": f"{program.parent}:{os.environ['PATH']}" if gcloud else str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_build_with_everything_goes_on(commit: Path) -> None:
    result = run(commit, "exit 0", **GOOD)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"inputs: deploy of {GOOD['COMMIT']}, the stack dev in {PROJECT}, {REGION}\n"
    assert (commit / "asked").read_text() == f"storage ls gs://{PROJECT}-pulumi-state/ --project={PROJECT}\n"


def test_a_release_check_needs_no_cloud(commit: Path) -> None:
    result = run(commit, ACTION="check", COMMIT=GOOD["COMMIT"], WEIGHTS="local", PRECISION="auto")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("action", inputs.ACTIONS)
def test_every_action_is_known(action: str, commit: Path) -> None:
    assert inputs.mistakes({**GOOD, "ACTION": action}, commit) == []


@pytest.mark.parametrize("name", ["cloudbuild.yaml", "cloudbuild-fleet.yaml"])
def test_a_build_that_a_trigger_starts_says_all_that_is_asked_for(name: str, commit: Path) -> None:
    """Nothing is asked for that the file does not hand on to this step."""
    text = (REPOSITORY / name).read_text("utf-8")
    handed = set(re.findall(r"^    - (\w+)=", text, re.MULTILINE))
    given = {variable: value for variable, value in GOOD.items() if variable in handed}
    actions = set(re.findall(r"_ACTION[:=] ?(\w+)", text)) | set(re.findall(r"\(_ACTION=(\w+)\)", text))
    assert len(actions) > 1
    for action in actions:
        assert inputs.mistakes({**given, "ACTION": action}, commit) == [], action


def test_what_is_done_without_a_new_image_needs_no_commit(commit: Path) -> None:
    given = {name: GOOD[name] for name in ("PROJECT", "REGION", "STACK")}
    assert inputs.mistakes({**given, "ACTION": "drift"}, commit) == []
    result = run(commit, "exit 0", ACTION="renew", **given)
    assert result.stdout == f"inputs: renew, the stack dev in {PROJECT}, {REGION}\n"


@pytest.mark.parametrize(
    ("name", "substitution"),
    [
        ("ACTION", "_ACTION"),
        ("COMMIT", "COMMIT_SHA"),
        ("WEIGHTS", "_WEIGHTS"),
        ("PRECISION", "_PRECISION"),
        ("PROJECT", "PROJECT_ID"),
        ("REGION", "_REGION"),
        ("STACK", "_STACK"),
        ("REPOSITORY", "_REPOSITORY"),
    ],
)
def test_a_missing_substitution_is_named(name: str, substitution: str, commit: Path) -> None:
    (sentence,) = inputs.mistakes({**GOOD, name: ""}, commit)
    assert sentence.startswith(f"the substitution {substitution} is not set: give it, for example {substitution}=")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACTION", "destroy"),
        ("COMMIT", "main"),
        ("WEIGHTS", "auto"),
        ("WEIGHTS", "digits"),
        ("WEIGHTS", "untrained"),
        ("WEIGHTS", "own.pth"),
        ("PRECISION", "int4"),
        ("PROJECT", "My Project"),
        ("PROJECT", "example.com:my-project"),
        ("REGION", "europe-west1-b"),
        ("STACK", "Prod"),
        ("REPOSITORY", "a/b"),
    ],
)
def test_a_wrong_substitution_is_quoted(name: str, value: str, commit: Path) -> None:
    (sentence,) = inputs.mistakes({**GOOD, name: value}, commit)
    assert f"is '{value}': write it like" in sentence


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: f"{network.weights} {network.architecture}")
def test_any_weights_that_somebody_published_may_be_deployed(network: Network, commit: Path) -> None:
    assert bool(inputs.mistakes({**GOOD, "WEIGHTS": network.weights}, commit)) is (network.file is None)


def test_all_mistakes_are_said_at_once(commit: Path) -> None:
    result = run(commit, "exit 0", **{**GOOD, "REGION": "", "COMMIT": ""})
    assert result.returncode == 1
    assert [line[:26] for line in result.stderr.splitlines()] == ["pipeline: the substitution"] * 2
    assert not (commit / "asked").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "Pulumi.dev.yaml is missing from the commit: make the stack with `make bootstrap`"),
        ("config: {}\n", "Pulumi.dev.yaml names no key of Cloud KMS"),
        ("config:\n  a: |\n    secretsprovider: gcpkms://k\n", "Pulumi.dev.yaml names no key of Cloud KMS"),
        (
            f"secretsprovider: gcpkms://{KEY.removesuffix('-dev')}\n",
            f"Pulumi.dev.yaml names the key {KEY.removesuffix('-dev')}, and this build may use {KEY} only",
        ),
    ],
)
def test_a_stack_that_no_build_can_open(content: str | None, sentence: str, commit: Path) -> None:
    file = commit / "Pulumi.dev.yaml"
    file.unlink() if content is None else file.write_text(content)
    (found,) = inputs.mistakes(GOOD, commit)
    assert found.startswith(sentence)


def test_an_unreachable_state_bucket(commit: Path) -> None:
    result = run(commit, "echo 'ERROR: (gcloud.storage.ls) gs://x not found: 404.' >&2; exit 1", **GOOD)
    assert result.returncode == 1
    assert result.stderr.startswith(
        f"pipeline: the state bucket gs://{PROJECT}-pulumi-state cannot be read: run `make bootstrap`"
    )
    assert "404" in result.stderr


def test_an_empty_state_bucket_is_reachable(commit: Path) -> None:
    assert run(commit, "echo 'ERROR: One or more URLs matched no objects.' >&2; exit 1", **GOOD).returncode == 0


def test_a_missing_gcloud_is_named(commit: Path) -> None:
    result = run(commit, **GOOD)
    assert (result.returncode, result.stderr) == (
        1,
        "pipeline: gcloud is not installed: docs/deployment.md says what a laptop needs.\n",
    )
