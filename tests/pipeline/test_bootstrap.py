"""What must be there before Pulumi: made once, left alone afterwards, shown in full before."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from infra import names
from infra.settings import Settings
from pipeline import bootstrap
from pipeline.bootstrap_request import read
from pipeline.errors import StepFailed
from pipeline.provision import Provisioner
from tests.conftest import REPOSITORY
from tests.pipeline.google import DENIED, NO_BILLING, NOT_YET, Google

PROJECT, REGION = "my-project", "europe-west1"
PLACE = {"PROJECT": PROJECT, "REGION": REGION}
BUCKET = f"gs://{PROJECT}-pulumi-state"
SETTINGS = Settings("dev", PROJECT, REGION)


def make(google: Google, folder: Path, *arguments: str, **environment: str) -> None:
    request = read(arguments, {**PLACE, **environment}, folder)
    bootstrap.make(
        request, Provisioner(PROJECT, request.dry, look=google, change=google, pause=google.pause, clock=google.clock)
    )


def main(folder: Path, *arguments: str, **environment: object) -> subprocess.CompletedProcess[str]:
    """Run it as `make bootstrap` does."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.bootstrap", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **{k: str(v) for k, v in environment.items()}},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def empty() -> Google:
    """An empty project: nothing that is looked for is there, until it was made."""
    google = Google()
    google.say("describe", err="ERROR: not found\n")
    google.say("select", err="error: no stack named 'dev' found\n", code=255)
    google.say("buckets", "describe", "--raw", out="123\n")
    google.say("projects", "describe", out="123\n")
    return google


@pytest.fixture
def full() -> Google:
    """A project in which everything is there."""
    google = Google()
    google.say("describe", out="123\n")
    return google


def test_an_empty_project_gets_bucket_key_and_stack(empty: Google, tmp_path: Path) -> None:
    make(empty, tmp_path, ALLOWLIST="203.0.113.7/32, 198.51.100.0/24")
    (bucket,) = empty.asked("buckets", "create")
    assert {BUCKET, f"--location={REGION}", "--uniform-bucket-level-access", "--public-access-prevention"} <= set(
        bucket
    )
    (update,) = empty.asked("buckets", "update")
    assert {BUCKET, "--versioning"} <= set(update)
    (key,) = empty.asked("keys", "create")
    assert {"state-dev", "--keyring=pulumi", "--purpose=encryption"} <= set(key)
    (stack,) = empty.asked("stack", "init")
    assert {"dev", f"--secrets-provider=gcpkms://{SETTINGS.state_key}"} <= set(stack)
    assert [call[4:6] for call in empty.asked("--path")] == [
        ["allowlist[0]", "203.0.113.7/32"],
        ["allowlist[1]", "198.51.100.0/24"],
    ]


def test_each_stack_has_a_key_of_its_own(empty: Google, tmp_path: Path) -> None:
    """Whoever may open one stack's secrets, such as a pull request's build, opens no other's."""
    make(empty, tmp_path, STACK="prod")
    (key,) = empty.asked("keys", "create")
    assert "state-prod" in key


def test_a_second_run_makes_nothing(full: Google, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(full, tmp_path)
    assert [call for call in full.calls if {"create", "init", "change-secrets-provider"} & set(call)] == []
    assert capsys.readouterr().out.count(": is there") == 4


@pytest.mark.parametrize("how", [["--dry-run"], []], ids=["flag", "variable"])
def test_a_dry_run_shows_every_command_and_asks_nothing(
    how: list[str], empty: Google, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty.say("connections", "describe", out={"installationState": {"stage": "COMPLETE"}})
    empty.say("connections", "describe", err="ERROR: NOT_FOUND\n", times=1)
    make(empty, tmp_path, PIPELINE="1")
    changes = [call for call in empty.calls if not {"describe", "select"} & set(call)]
    dry = Google()
    capsys.readouterr()
    make(dry, tmp_path, *how, PIPELINE="1", **({} if how else {"DRY_RUN": "1"}))
    assert dry.calls == []
    shown = [shlex.split(line)[1:] for line in capsys.readouterr().out.splitlines() if line.startswith("+ ")]
    assert json.dumps(shown).replace("PROJECT_NUMBER", "123") == json.dumps(changes)


def test_a_bucket_of_somebody_else_is_not_written_to(full: Google, tmp_path: Path) -> None:
    """A bucket's name is the whole world's: whoever made it first could read every secret that is put there."""
    full.say("buckets", "describe", "--raw", out="666\n")
    with pytest.raises(StepFailed, match=r"belongs to another project \(666, not 123\)"):
        make(full, tmp_path)
    assert full.asked("update") == []
    assert full.asked("pulumi") == []


def test_a_bucket_of_which_nobody_says_whose_it_is_is_not_written_to(full: Google, tmp_path: Path) -> None:
    full.say("buckets", "describe", "--raw", err=DENIED)
    with pytest.raises(StepFailed, match=r"`gcloud storage buckets describe` failed: .*permission"):
        make(full, tmp_path)
    assert full.asked("update") == []


def test_the_first_call_to_an_api_is_tried_for_two_minutes(
    empty: Google, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty.say("keyrings", err=NOT_YET, times=3)
    make(empty, tmp_path)
    assert empty.now == 30
    assert len(empty.asked("keyrings", "create")) == 1
    assert "Google is not ready for `gcloud kms keyrings describe` yet" in capsys.readouterr().out


def test_an_api_that_stays_off_ends_it_after_two_minutes(empty: Google, tmp_path: Path) -> None:
    empty.say("keyrings", "create", err=NOT_YET)
    with pytest.raises(StepFailed, match="this command failed, see above"):
        make(empty, tmp_path)
    assert empty.now == 120


@pytest.mark.parametrize(
    ("words", "said", "sentence"),
    [
        (
            ("keyrings", "create"),
            DENIED,
            "this command failed, see above: mend what it says, then run `make bootstrap`",
        ),
        (("services", "enable"), NO_BILLING, "the project my-project has no billing account"),
        (
            ("stack", "init"),
            "error: could not find default credentials.\n",
            "Pulumi is not signed in: run `gcloud auth",
        ),
        (("buckets", "create"), "ERROR: HTTPError 409: The requested bucket name is not available.\n", "somebody else"),
    ],
)
def test_a_command_that_fails_is_the_last(
    words: tuple[str, str], said: str, sentence: str, empty: Google, tmp_path: Path
) -> None:
    empty.say(*words, err=said)
    with pytest.raises(StepFailed, match=f"^{sentence}"):
        make(empty, tmp_path)
    assert empty.now == 0
    assert set(words) <= set(empty.calls[-1])


def test_a_stack_with_the_key_of_all_stacks_gets_its_own(full: Google, tmp_path: Path) -> None:
    shared = SETTINGS.state_key.removesuffix("-dev")
    (tmp_path / "Pulumi.dev.yaml").write_text(f"secretsprovider: gcpkms://{shared}\nencryptedkey: AAAA\n")
    make(full, tmp_path)
    assert full.asked("change-secrets-provider")[0][3] == f"gcpkms://{SETTINGS.state_key}"


def test_what_the_stack_says_already_need_not_be_said_again(full: Google, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(f"config:\n  gcp:project: {PROJECT}\n  gcp:region: {REGION}\n")
    make(full, tmp_path, PROJECT="", REGION="")
    assert ["pulumi", "config", "set", "gcp:region", REGION, "--stack=dev"] in full.calls


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PROJECT": ""}, "PROJECT is ''"),
        ({"PROJECT": "My Project"}, "PROJECT is 'My Project': give the project's id"),
        ({"PROJECT": "123456789012"}, "PROJECT is '123456789012': give the project's id"),
        ({"PROJECT": "example.com:my-project"}, "PROJECT is 'example.com:my-project', a project of a domain"),
        ({"REGION": ""}, "REGION is ''"),
        ({"REGION": "europe-west1-b"}, "REGION is 'europe-west1-b': give a region, not a zone"),
        ({"STACK": "Prod"}, "STACK is 'Prod'"),
        ({"ALLOWLIST": "203.0.113.7"}, "ALLOWLIST holds '203.0.113.7': give address ranges, as in ALLOWLIST=203"),
        ({"ALLOWLIST": "203.0.113.7/24"}, r"ALLOWLIST holds '203.0.113.7/24' \(203.0.113.7/24 has host bits set\)"),
        ({"ALLOWLIST": "me"}, "ALLOWLIST holds 'me'"),
        ({"STACK": "other"}, "REGION is 'europe-west1', and Pulumi.other.yaml is for us-east1: write that"),
        ({"STACK": "bad"}, "Pulumi.bad.yaml is no configuration of Pulumi"),
    ],
)
def test_a_wrong_setting_stops_it_before_anything(settings: dict[str, str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.other.yaml").write_text("config:\n  gcp:region: us-east1\n")
    (tmp_path / "Pulumi.bad.yaml").write_text("config: [\n")
    with pytest.raises(StepFailed, match=f"^{sentence}"):
        read([], {**PLACE, **settings}, tmp_path)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(StepFailed, match=r"^'--dry' is no option: there are --dry-run and --pipeline"):
        read(["--dry"], PLACE)


def test_make_bootstrap_is_this() -> None:
    settings = {**PLACE, "DRY_RUN": "1"}
    command = ["make", "--dry-run", "bootstrap", *(f"{name}={value}" for name, value in settings.items())]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert re.search(r"pipeline[./]bootstrap", result.stdout)
    for name, value in settings.items():
        assert f"{name}='{value}'" in result.stdout


def test_it_runs_as_make_runs_it(tmp_path: Path) -> None:
    result = main(tmp_path, **PLACE, DRY_RUN=1)
    assert result.returncode == 0, result.stderr
    assert f"  PULUMI_BACKEND_URL={BUCKET} pulumi config set --path 'allowlist[0]' YOUR-ADDRESS/32" in result.stdout
    assert f"gcpkms://{SETTINGS.state_key}" in result.stdout


def test_missing_programs_are_named_before_anything(tmp_path: Path) -> None:
    result = main(tmp_path, **PLACE, PATH=tmp_path)
    assert (result.returncode, result.stderr) == (
        1,
        "pipeline: gcloud is not installed: docs/deployment.md says what a laptop needs.\n",
    )


def test_a_program_that_is_there_is_run_without_prompts(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("gcloud", "pulumi"):
        (programs / name).write_text('#!/bin/sh\necho "$CLOUDSDK_CORE_DISABLE_PROMPTS $PULUMI_BACKEND_URL"\n')
        (programs / name).chmod(0o755)
    result = main(tmp_path, **PLACE, PATH=f"{programs}:{os.environ['PATH']}")
    assert result.returncode == 0, result.stderr
    assert f"1 {BUCKET}" in result.stdout


def test_what_was_overwritten_in_the_bucket_is_kept_for_a_year_at_most() -> None:
    """Locks and histories are never overwritten twenty times, and would stay for ever."""
    rules = json.loads((REPOSITORY / "pipeline" / "state-lifecycle.json").read_text())["rule"]
    conditions = [rule["condition"] for rule in rules if rule["action"] == {"type": "Delete"}]
    assert {"isLive": False, "daysSinceNoncurrentTime": 365} in conditions
    # What lives is removed nowhere but where checkouts are put.
    (living,) = [condition for condition in conditions if condition.get("isLive") is not False]
    assert living == {"age": 7, "matchesPrefix": [names.SUBMITTED_SOURCES]}


@pytest.mark.parametrize(("code", "said"), [(0, ""), (1, "this command failed, see above; what follows may do")])
def test_a_command_that_need_not_succeed_says_only_where_it_did_not(
    code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    google = Google()
    google.say("identity", code=code)
    provisioner = Provisioner(PROJECT, look=google, change=google, pause=google.pause, clock=google.clock)
    provisioner.run(["gcloud", "services", "identity", "create"], needed=False)
    out = capsys.readouterr().out
    assert out.startswith(said)
    assert bool(out) == bool(code)
