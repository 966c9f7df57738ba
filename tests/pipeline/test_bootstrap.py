"""What must be there before Pulumi: made once, left alone afterwards, shown in full before."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import PROJECT, REGION, Tools, complaint, run

BOOTSTRAP = ["bash", "pipeline/bootstrap.sh"]
PLACE = {"PROJECT": PROJECT, "REGION": REGION}
BUCKET = f"gs://{PROJECT}-pulumi-state"


def shown(result: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Return the commands that it printed."""
    return [shlex.split(line)[1:] for line in result.stdout.splitlines() if line.startswith("+ ")]


@pytest.fixture
def empty_project(tools: Tools) -> Tools:
    """Nothing that is looked for is there, until it was made."""
    tools.say("describe", code=1)
    tools.say("select", err="error: no stack named 'dev' found\n", code=255)
    tools.say("buckets", "describe", "--raw", out="123\n")
    tools.say("projects", "describe", out="123\n")
    return tools


def test_an_empty_project_gets_bucket_key_and_stack(checkout: Path, empty_project: Tools) -> None:
    result = run(BOOTSTRAP, checkout, empty_project, **PLACE, ALLOWLIST="203.0.113.7/32,198.51.100.0/24")
    assert result.returncode == 0, result.stderr
    (bucket,) = empty_project.calls("buckets", "create")
    assert {BUCKET, f"--location={REGION}", "--uniform-bucket-level-access", "--public-access-prevention"} <= set(
        bucket
    )
    (update,) = empty_project.calls("buckets", "update")
    assert {BUCKET, "--versioning"} <= set(update)
    (key,) = empty_project.calls("keys", "create")
    assert {"state", "--keyring=pulumi", "--purpose=encryption"} <= set(key)
    (stack,) = empty_project.calls("stack", "init")
    provider = f"projects/{PROJECT}/locations/{REGION}/keyRings/pulumi/cryptoKeys/state"
    assert {"dev", f"--secrets-provider=gcpkms://{provider}"} <= set(stack)
    assert [call[4:6] for call in empty_project.calls("--path")] == [
        ["allowlist[0]", "203.0.113.7/32"],
        ["allowlist[1]", "198.51.100.0/24"],
    ]


def test_it_prints_every_command_that_changes_something(checkout: Path, empty_project: Tools) -> None:
    result = run(BOOTSTRAP, checkout, empty_project, **PLACE)
    changes = [call for call in empty_project.calls() if not {"describe", "select"} & set(call)]
    assert shown(result) == changes


def test_a_second_run_makes_nothing(checkout: Path, tools: Tools) -> None:
    tools.say("describe", out="123\n")
    result = run(BOOTSTRAP, checkout, tools, **PLACE)
    assert result.returncode == 0, result.stderr
    assert [call for call in tools.calls() if {"create", "init"} & set(call)] == []
    assert result.stdout.count(": is there") == 4


@pytest.mark.parametrize(
    "how", [{"arguments": ["--dry-run"]}, {"settings": {"DRY_RUN": "1"}}], ids=["flag", "variable"]
)
def test_a_dry_run_asks_and_changes_nothing(
    how: dict[str, dict[str, str]], checkout: Path, empty_project: Tools
) -> None:
    real = run(BOOTSTRAP, checkout, empty_project, **PLACE)
    before = len(empty_project.calls())
    dry = run([*BOOTSTRAP, *how.get("arguments", [])], checkout, empty_project, **PLACE, **how.get("settings", {}))
    assert dry.returncode == 0, dry.stderr
    assert len(empty_project.calls()) == before
    assert shown(dry) == shown(real)


def test_make_bootstrap_is_this(checkout: Path) -> None:
    command = ["make", "--dry-run", "bootstrap", f"PROJECT={PROJECT}", f"REGION={REGION}", "DRY_RUN=1"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "pipeline/bootstrap.sh" in result.stdout
    for setting in (f"PROJECT={PROJECT}", f"REGION={REGION}", "DRY_RUN=1"):
        assert setting.split("=")[0] + "=" in result.stdout


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PROJECT": ""}, "PROJECT is ''"),
        ({"PROJECT": "My Project"}, "PROJECT is 'My Project'"),
        ({"REGION": ""}, "REGION is ''"),
        ({"REGION": "europe-west1-b"}, "REGION is 'europe-west1-b': give a region, not a zone"),
        ({"STACK": "Prod"}, "STACK is 'Prod'"),
        ({"ALLOWLIST": "203.0.113.7"}, "ALLOWLIST holds '203.0.113.7': give address ranges"),
    ],
)
def test_a_wrong_setting_stops_it_before_anything(
    settings: dict[str, str], sentence: str, checkout: Path, tools: Tools
) -> None:
    assert complaint(run(BOOTSTRAP, checkout, tools, **{**PLACE, **settings})).startswith(sentence)
    assert tools.calls() == []


def test_a_command_that_fails_is_the_last(checkout: Path, empty_project: Tools) -> None:
    empty_project.say("keyrings", "create", err="ERROR: denied\n", code=1)
    result = run(BOOTSTRAP, checkout, empty_project, **PLACE)
    assert "this command failed" in complaint(result)
    assert empty_project.calls("keys") == []


def test_a_bucket_of_somebody_else_is_not_written_to(checkout: Path, tools: Tools) -> None:
    """A bucket's name is the whole world's: whoever made it first could read every secret that is put there."""
    tools.say("projects", "describe", out="123\n")
    tools.say("buckets", "describe", out="666\n")
    assert "belongs to another project (666, not 123)" in complaint(run(BOOTSTRAP, checkout, tools, **PLACE))
    assert tools.calls("update") == []
    assert tools.calls("pulumi") == []


def test_missing_programs_are_named(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    assert complaint(run(BOOTSTRAP, checkout, None, PATH=tools, **PLACE)).startswith("gcloud is not installed")


def test_the_stack_grants_on_the_bucket_and_key_that_are_made(checkout: Path, tools: Tools) -> None:
    """The names stand in bootstrap.sh and in infra/settings.py; they must be the same."""
    settings = Settings(stack="dev", project=PROJECT, region=REGION)
    made = json.dumps(shown(run([*BOOTSTRAP, "--dry-run"], checkout, tools, **PLACE)))
    assert f'"gs://{settings.state_bucket}"' in made
    assert f"gcpkms://{settings.state_key}" in made
