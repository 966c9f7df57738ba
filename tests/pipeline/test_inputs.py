"""The step `inputs`: what is missing or wrong is said before anything long or costly begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.conftest import COMMIT, PROJECT, REGION, Tools, complaint, run

GOOD = {
    "ACTION": "deploy",
    "COMMIT": COMMIT,
    "MODEL": "official",
    "PROJECT": PROJECT,
    "REGION": REGION,
    "STACK": "dev",
    "REPOSITORY": "classifier-dev",
}
INPUTS = ["bash", "pipeline/inputs.sh"]


def test_a_build_with_everything_goes_on(checkout: Path, tools: Tools) -> None:
    result = run(INPUTS, checkout, tools, **GOOD)
    assert result.returncode == 0, result.stderr
    assert "deploy" in result.stdout
    assert tools.calls("storage") == [
        ["gcloud", "storage", "ls", f"gs://{PROJECT}-pulumi-state/", f"--project={PROJECT}"]
    ]


def test_a_release_check_needs_no_cloud(checkout: Path, tools: Tools) -> None:
    assert run(INPUTS, checkout, tools, ACTION="check", COMMIT=COMMIT, MODEL="local").returncode == 0
    assert tools.calls() == []


@pytest.mark.parametrize(
    ("name", "substitution"),
    [
        ("ACTION", "_ACTION"),
        ("COMMIT", "COMMIT_SHA"),
        ("MODEL", "_MODEL"),
        ("PROJECT", "PROJECT_ID"),
        ("REGION", "_REGION"),
        ("STACK", "_STACK"),
        ("REPOSITORY", "_REPOSITORY"),
    ],
)
def test_a_missing_substitution_is_named(name: str, substitution: str, checkout: Path, tools: Tools) -> None:
    sentence = complaint(run(INPUTS, checkout, tools, **{**GOOD, name: ""}))
    assert sentence.startswith(f"the substitution {substitution} is not set: give it, for example {substitution}=")
    assert tools.calls() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACTION", "destroy"),
        ("COMMIT", "main"),
        ("MODEL", "digits"),
        ("PROJECT", "My Project"),
        ("REGION", "europe-west1-b"),
        ("STACK", "Prod"),
        ("REPOSITORY", "a/b"),
    ],
)
def test_a_wrong_substitution_is_quoted(name: str, value: str, checkout: Path, tools: Tools) -> None:
    assert f"is '{value}': write it like" in complaint(run(INPUTS, checkout, tools, **{**GOOD, name: value}))


def test_all_mistakes_are_said_at_once(checkout: Path, tools: Tools) -> None:
    result = run(INPUTS, checkout, tools, **{**GOOD, "REGION": "", "COMMIT": ""})
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 2


def test_a_stack_that_is_in_no_commit(checkout: Path, tools: Tools) -> None:
    (checkout / "Pulumi.dev.yaml").unlink()
    assert "Pulumi.dev.yaml is missing from the commit" in complaint(run(INPUTS, checkout, tools, **GOOD))


def test_a_stack_without_a_key_of_its_own(checkout: Path, tools: Tools) -> None:
    (checkout / "Pulumi.dev.yaml").write_text("config: {}\n")
    assert "names no key of Cloud KMS" in complaint(run(INPUTS, checkout, tools, **GOOD))


def test_an_unreachable_state_bucket(checkout: Path, tools: Tools) -> None:
    tools.say("storage", err="ERROR: (gcloud.storage.ls) gs://x not found: 404.\n", code=1)
    sentence = complaint(run(INPUTS, checkout, tools, **GOOD))
    assert sentence.startswith(f"the state bucket gs://{PROJECT}-pulumi-state cannot be read: run `make bootstrap`")
    assert "404" in sentence


def test_an_empty_state_bucket_is_reachable(checkout: Path, tools: Tools) -> None:
    tools.say("storage", err="ERROR: One or more URLs matched no objects.\n", code=1)
    assert run(INPUTS, checkout, tools, **GOOD).returncode == 0
