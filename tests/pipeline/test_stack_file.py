"""A stack's file is a person's: whatever is in it, each step says what is wrong, in a sentence and before it asks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from infra import configuration
from pipeline import bootstrap_request, carried, checkout
from pipeline.carried import Carried
from pipeline.errors import StepFailed
from tests.pipeline.conftest import PROJECT, REGION, STACK_FILE, complaint, python, run

DAMAGED = {
    "no text": b"\xff\xfe",
    "no YAML": b"config: [\n",
    "a list": b"- a\n",
    "a text": b"config\n",
    "a list of settings": b"config: [1]\n",
    "a text for the settings": b"config: none\n",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "Pulumi.dev.yaml"


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_one_is_said_and_what_to_do(damage: str, here: Path) -> None:
    here.write_bytes(DAMAGED[damage])
    with pytest.raises(
        StepFailed, match=r"^Pulumi.dev.yaml is no configuration of Pulumi: .*: mend it, or remove"
    ) as one:
        checkout.stack_settings("dev")
    assert "\n" not in str(one.value)
    with pytest.raises(StepFailed, match=r"^Pulumi.dev.yaml is no configuration of Pulumi: .*: mend or remove it\.$"):
        bootstrap_request.read([], {"PROJECT": PROJECT, "REGION": REGION})


def test_a_folder_in_its_place(here: Path) -> None:
    here.mkdir()
    with pytest.raises(StepFailed, match=r"is no configuration of Pulumi: .*Is a directory"):
        checkout.stack_settings("dev")


@pytest.mark.parametrize("content", ["", "config:\n", "encryptedkey: AAAA\n"])
def test_an_empty_one_says_nothing_of_a_project(content: str, here: Path) -> None:
    here.write_text(content)
    with pytest.raises(StepFailed, match=r"does not say gcp:project and gcp:region: make the stack with `make boot"):
        checkout.stack_settings("dev")


def test_the_first_step_of_a_build_reads_one_that_is_no_text(checkout: Path) -> None:
    (checkout / "Pulumi.dev.yaml").write_bytes(DAMAGED["no text"])
    settings = {"ACTION": "renew", "PROJECT": PROJECT, "REGION": REGION, "STACK": "dev"}
    assert "names no key of Cloud KMS" in complaint(run(python("pipeline.inputs"), checkout, None, **settings))


def test_a_date_is_the_text_that_pulumi_takes_it_for(here: Path) -> None:
    """YAML has dates, and `refreshed` is one; written by hand it has no quotes."""
    here.write_text(f"{STACK_FILE}  own-cloud-classifier:refreshed: 2026-11-30\n")
    assert checkout.stack_settings("dev").refreshed == "2026-11-30"
    with carried.configuration_file("dev", Carried(), wait=False) as copy:
        assert yaml.safe_load(Path(copy).read_text())["config"]["own-cloud-classifier:refreshed"] == "2026-11-30"


def test_what_is_encrypted_stays_so_and_is_no_mistake(here: Path) -> None:
    secret = {"secure": "AAABBB"}
    document = yaml.safe_load(STACK_FILE)
    document["config"] |= {
        "own-cloud-classifier:https": True,
        "own-cloud-classifier:domains": ["classify.example.com"],
        "own-cloud-classifier:iapMembers": ["user:someone@example.com"],
        "own-cloud-classifier:iapClientId": "1.apps.googleusercontent.com",
        "own-cloud-classifier:iapClientSecret": secret,
    }
    here.write_text(yaml.safe_dump(document))
    assert checkout.stack_settings("dev").iap_client_secret
    with carried.configuration_file("dev", Carried(), wait=False) as copy:
        kept = yaml.safe_load(Path(copy).read_text())
    assert kept["config"]["own-cloud-classifier:iapClientSecret"] == secret
    assert kept["secretsprovider"] == document["secretsprovider"]
    assert kept["encryptedkey"] == document["encryptedkey"]


def test_a_setting_by_its_old_name_is_said_with_the_new_one(here: Path) -> None:
    here.write_text(f"{STACK_FILE}  own-cloud-classifier:monthlyBudgetUsd: 50\n")
    with pytest.raises(StepFailed, match=r"monthlyBudgetUsd is no setting of this stack: did you mean monthlyBudget\?"):
        checkout.stack_settings("dev")


@pytest.mark.parametrize("name", ["DRY_RUN", "PIPELINE"])
def test_a_flag_that_is_off_is_off(name: str, here: Path) -> None:
    """PIPELINE=0 would have connected Cloud Build to GitHub."""
    here.write_text(STACK_FILE)
    found = bootstrap_request.read([], {name: "0"})
    assert not found.dry
    assert not found.pipeline
    with pytest.raises(StepFailed, match=f"{name} is 'yes': write {name}=1, or leave it out"):
        bootstrap_request.read([], {name: "yes"})


def test_a_name_too_long_for_googles_certificates_is_refused(here: Path) -> None:
    name = f"{'a' * 60}.example.com"
    document = yaml.safe_load(STACK_FILE)
    document["config"] |= {"own-cloud-classifier:https": True, "own-cloud-classifier:domains": [name]}
    here.write_text(yaml.safe_dump(document))
    with pytest.raises(configuration.SettingError, match=r"of 72 characters, .* names of 64 at most: choose a shorter"):
        configuration.load(Path(), "dev")
