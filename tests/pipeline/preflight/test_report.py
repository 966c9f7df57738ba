"""`make up` looks before anything is made: what cannot work ends it, what nobody may tell does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline import preflight
from pipeline.errors import StepFailed
from pipeline.preflight.findings import Severity
from tests.pipeline.google import DENIED, NOT_YET, Google
from tests.pipeline.preflight.support import IN_REGION, OUTPUTS, PROD, SETTINGS, SINGLE, limits, look, no_records, only


def test_a_project_in_which_nothing_is_wrong(google: Google, capsys: pytest.CaptureFixture[str]) -> None:
    report = look(google)
    report.raise_if_stopped()
    assert {finding.severity for finding in report.findings} == {Severity.GOOD}
    said = capsys.readouterr().out
    assert "  ok             billing is on (billingAccounts/012345-6789AB-CDEF01)\n" in said
    assert "12 of 24 E2_CPUS, 180 of 500 SSD_TOTAL_GB, 6 of 24 INSTANCES" in said


def test_nothing_is_changed(google: Google) -> None:
    look(google, PROD)
    look(google, SINGLE)
    for command in google.calls:
        assert {"list", "describe", "get-iam-policy", "get"} & set(command), command


def test_whoever_may_see_nothing_is_told_what_was_not_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    google = Google()
    google.say(err=DENIED)
    report = look(google, PROD)
    report.raise_if_stopped()
    assert len(report.of(Severity.SKIPPED)) == 6
    for line in capsys.readouterr().out.splitlines():
        assert "not looked at" not in line or "does not have permission" in line


def test_an_api_that_is_off_is_said_in_few_words(google: Google) -> None:
    google.say("billing", err=NOT_YET)
    assert only(look(google), Severity.SKIPPED) == "billing: the API that would tell is off in this project."


def test_an_answer_of_an_unknown_form_ends_nothing(google: Google) -> None:
    google.say("regions", "describe", out={"quotas": [{"name": "CPUS"}]})
    google.say("billing", out="no JSON")
    google.say("machine-types", out=["?"])
    report = look(google)
    report.raise_if_stopped()
    assert len(report.of(Severity.SKIPPED)) == 3


def test_a_question_that_does_not_end_ends_nothing(google: Google) -> None:
    def hanging(command: Any) -> Any:
        if "billing" in command:
            raise StepFailed("`gcloud billing projects describe` did not end within 60 s.")
        return google(command)

    report = preflight.look(SETTINGS, {}, hanging, no_records)
    assert only(report, Severity.SKIPPED) == "billing: `gcloud billing projects describe` did not end within 60 s."


def test_each_reason_to_stop_is_a_sentence_and_nothing_is_made(google: Google) -> None:
    google.say("billing", out={"billingAccountName": "", "billingEnabled": False})
    google.say("regions", "describe", out=limits(IN_REGION, E2_CPUS=0))
    with pytest.raises(StepFailed) as stopped:
        look(google).raise_if_stopped()
    first, second, last = str(stopped.value).split("\n")
    assert first.startswith("billing is off in the project my-project: link an open account with `gcloud billing")
    assert second.strip().startswith(
        "the quota E2_CPUS of us-central1 is 0 with 0 in use, and the smallest fleet needs"
    )
    assert last.strip() == "Nothing was made."


@pytest.mark.parametrize(("outputs", "due"), [({}, True), ({"registry": "x", "image": ""}, True), (OUTPUTS, False)])
def test_it_looks_before_the_first_image(outputs: dict[str, Any], due: bool) -> None:
    assert preflight.due(outputs) is due


def test_the_first_deployment_is_told_in_minutes_and_that_they_are_estimated(
    google: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    look(google, PROD)
    said = capsys.readouterr().out
    assert "What the first deployment takes: some 46 minutes (estimated):" in said
    assert "certificates  60 min  at most, for classify.example.com" in said
    look(google, SINGLE)
    assert "balancer" not in capsys.readouterr().out.partition("What the first")[2]


def test_a_running_stack_is_told_no_first_deployment(google: Google, capsys: pytest.CaptureFixture[str]) -> None:
    look(google, SETTINGS, OUTPUTS)
    assert "first deployment" not in capsys.readouterr().out


def test_what_cannot_succeed_is_told_no_duration(google: Google, capsys: pytest.CaptureFixture[str]) -> None:
    google.say("billing", out={"billingEnabled": False})
    look(google)
    assert "first deployment" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("certificates", "how"), [("load-balancer", "the names lead to the stack's address"), ("dns", "their DNS records")]
)
def test_when_certificates_come_is_told_by_how_they_are_proved(
    certificates: str, how: str, google: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    look(google, replace(PROD, certificates=certificates))
    assert f"at most, for classify.example.com, once {how}" in capsys.readouterr().out


def test_without_https_no_certificate_is_waited_for(google: Google, capsys: pytest.CaptureFixture[str]) -> None:
    look(google, SETTINGS)
    assert "certificates" not in capsys.readouterr().out.partition("What the first")[2]
