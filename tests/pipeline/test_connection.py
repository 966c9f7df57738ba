"""Cloud Build's connection to GitHub: all in Google's order, two links said once each, and an end to the wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import bootstrap, connection
from pipeline.bootstrap_request import read
from pipeline.errors import StepFailed
from pipeline.provision import Provisioner
from tests.pipeline.google import Google

PROJECT, REGION = "my-project", "europe-west1"
AGENT = "--member=serviceAccount:service-123@gcp-sa-cloudbuild.iam.gserviceaccount.com"
COMPLETE = {"installationState": {"stage": "COMPLETE"}}
# As Cloud Build describes a connection (cloudbuild.v2, Connection).
OAUTH = {
    "githubConfig": {},
    "installationState": {
        "actionUri": "https://accounts.google.com/AccountChooser?continue=first",
        "message": "Please log in to https://github.com and authorize",
        "stage": "PENDING_USER_OAUTH",
    },
    "name": f"projects/{PROJECT}/locations/{REGION}/connections/github",
    "reconciling": False,
}
INSTALL = {
    **OAUTH,
    "installationState": {"actionUri": "https://github.com/apps/second", "stage": "PENDING_INSTALL_APP"},
}


@pytest.fixture
def google() -> Google:
    found = Google()
    found.say("projects", "describe", out="123\n")
    found.say("connections", "describe", out=COMPLETE)
    return found


def make(google: Google, region: str = REGION) -> None:
    provisioner = Provisioner(PROJECT, look=google, change=google, pause=google.pause, clock=google.clock)
    connection.make("github", region, provisioner)


def test_the_account_and_its_right_come_before_the_connection(google: Google) -> None:
    google.say("connections", "describe", err="ERROR: NOT_FOUND\n", times=1)
    make(google)
    changes = [call for call in google.calls if "describe" not in call]
    assert [call[1:5] for call in changes] == [
        ["beta", "services", "identity", "create"],
        ["projects", "add-iam-policy-binding", PROJECT, AGENT],
        ["builds", "connections", "create", "github"],
    ]
    assert "--role=roles/secretmanager.admin" in changes[1]


def test_a_connection_that_is_there_is_left_alone(google: Google) -> None:
    make(google)
    assert google.asked("connections", "create") == []


def test_both_links_are_said_once_each_until_it_is_complete(google: Google, capsys: pytest.CaptureFixture[str]) -> None:
    google.say("connections", "describe", out=INSTALL, times=2)
    google.say("connections", "describe", out=OAUTH, times=20)
    make(google)
    said = capsys.readouterr().out
    assert said.count(OAUTH["installationState"]["actionUri"]) == 1  # type: ignore[index]
    assert said.count(INSTALL["installationState"]["actionUri"]) == 1  # type: ignore[index]
    assert said.index("the first of two links") < said.index("the second link")
    assert said.count("waiting for you to follow the link") == 3
    assert said.rstrip().endswith("the connection github: is complete")


def test_a_link_that_nobody_follows_ends_the_wait(google: Google) -> None:
    google.say("connections", "describe", out=OAUTH)
    with pytest.raises(
        StepFailed, match=r"^the connection github is PENDING_USER_OAUTH after 15 minutes: follow its link"
    ):
        make(google)
    assert google.now == 900


def test_an_account_that_is_not_known_everywhere_yet_is_waited_for(google: Google) -> None:
    refusal = f"ERROR: INVALID_ARGUMENT: Service account {AGENT[24:]} does not exist.\n"
    google.say("add-iam-policy-binding", err=refusal, times=2)
    make(google)
    assert google.now == 20


def test_a_gcloud_without_beta_commands_may_have_luck(google: Google) -> None:
    """Enabling the API makes the account too, sooner or later."""
    google.say("beta", err="ERROR: (gcloud.beta) Invalid choice: 'services'.\n", code=2)
    make(google)
    assert google.asked("add-iam-policy-binding")


def test_a_region_where_new_projects_may_not_build_is_named_with_those_where_they_may(
    google: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    make(google, "europe-west3")
    said = capsys.readouterr().out
    assert all(region in said for region in connection.NEW_PROJECTS_REGIONS)
    make(google, "us-central1")
    assert "FAILED_PRECONDITION" not in capsys.readouterr().out


def test_bootstrap_enables_the_apis_and_says_what_to_set(
    google: Google, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  own-cloud-classifier:buildRegion: us-central1\n")
    google.say("buckets", "describe", out="123\n")
    request = read(["--pipeline"], {"PROJECT": PROJECT, "REGION": REGION}, tmp_path)
    bootstrap.make(request, Provisioner(PROJECT, look=google, change=google, pause=google.pause, clock=google.clock))
    assert google.asked("enable")[1][3:5] == ["cloudbuild.googleapis.com", "secretmanager.googleapis.com"]
    assert "--region=us-central1" in google.asked("connections", "describe")[0]
    setting = f"PULUMI_BACKEND_URL=gs://{PROJECT}-pulumi-state pulumi config set"
    said = capsys.readouterr().out
    assert f"{setting} pipeline true --stack dev" in said
    assert f"{setting} repository OWNER/NAME --stack dev" in said
