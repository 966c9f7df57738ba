"""APIs are on, and answer, before the program makes anything with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra import api_names
from infra.settings import Settings
from pipeline import apis
from pipeline.errors import StepFailed
from tests.pipeline.google import DENIED, NO_BILLING, NOT_YET, Google

SETTINGS = Settings("dev", "my-project", "europe-west1", allowlist=("203.0.113.7/32",))
ON = "\n".join(f"{name}.googleapis.com" for name in api_names.needed(SETTINGS))
# All that can need an API.
EVERYTHING = replace(
    SETTINGS,
    iap_members=("group:team@example.com",),
    https=True,
    domains=("classify.example.com",),
    certificates="dns",
    monthly_budget=100,
    billing_account="012345-6789AB-CDEF01",
    pipeline=True,
    repository="team/classifier",
    comment_secret="comments",  # noqa: S106  # a secret's name
)


def ready(google: Google, settings: Settings = SETTINGS, *, first: bool = False) -> None:
    apis.ready(settings, first=first, look=google, change=google, pause=google.pause, clock=google.clock)


def enabled(google: Google) -> list[str]:
    return [word for command in google.asked("enable") for word in command if word.endswith(".googleapis.com")]


def test_what_is_off_is_enabled_in_one_call_and_asked_afterwards() -> None:
    google = Google()
    google.say("services", "list", out=ON.replace("dns.googleapis.com\n", "").replace("iam.googleapis.com\n", ""))
    ready(google)
    assert enabled(google) == ["dns.googleapis.com", "iam.googleapis.com"]
    assert [command[1] for command in google.calls[1:]] == ["services", "dns", "iam"]


def test_a_stack_whose_apis_are_on_costs_one_question() -> None:
    google = Google()
    google.say("services", "list", out=ON)
    ready(google)
    assert len(google.calls) == 1


def test_a_stack_with_nothing_asks_all_since_a_run_before_may_have_been_interrupted() -> None:
    google = Google()
    google.say("services", "list", out=ON)
    ready(google, first=True)
    assert len(google.calls) == 1 + len(api_names.needed(SETTINGS))
    assert enabled(google) == []


def test_it_waits_until_each_answers(capsys: pytest.CaptureFixture[str]) -> None:
    google = Google()
    google.say("managed-zones", err=NOT_YET, times=2)
    google.say("service-accounts", err=NOT_YET, times=1)
    ready(google)
    assert google.now == 20
    assert len(google.asked("dns")) == 3
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "waiting" in line] == [
        "apis: 5 of 7 answer, waiting for dns, iam (0 s)",
        "apis: 6 of 7 answer, waiting for dns (10 s)",
    ]
    assert said[-1] == "apis: all 7 answer"


def test_a_refusal_is_an_answer() -> None:
    """Whoever may not read there may still be told that the API is on."""
    google = Google()
    google.say("managed-zones", err=DENIED)
    ready(google)
    assert google.now == 0


def test_an_api_that_never_answers_ends_it_with_one_sentence() -> None:
    google = Google()
    google.say("managed-zones", err=NOT_YET)
    with pytest.raises(
        StepFailed, match=r"^dns in project my-project still refuse calls after 5 minutes: run this again"
    ):
        ready(google)
    assert google.now == 300


def test_who_may_not_list_apis_has_all_enabled() -> None:
    google = Google()
    google.say("services", "list", err=DENIED)
    ready(google)
    assert enabled(google) == [f"{name}.googleapis.com" for name in api_names.needed(SETTINGS)]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (NO_BILLING, "the project my-project has no billing account"),
        ("ERROR: Request is disallowed by organization's constraints/x\n", "a policy of the organisation forbids this"),
        (DENIED, "the APIs cannot be enabled: ERROR: .*does not have permission"),
    ],
)
def test_an_api_that_cannot_be_enabled_is_explained(said: str, sentence: str) -> None:
    google = Google()
    google.say("enable", err=said)
    with pytest.raises(StepFailed, match=f"^{sentence}"):
        ready(google)


@pytest.mark.parametrize("settings", [SETTINGS, EVERYTHING], ids=["least", "everything"])
def test_every_api_that_settings_need_has_a_question(settings: Settings) -> None:
    assert set(api_names.needed(settings)) <= set(apis.harmless_commands(settings)) | set(apis.UNASKED)


def test_questions_only_read() -> None:
    for command in apis.harmless_commands(EVERYTHING).values():
        assert {"list", "describe", "get-iam-policy"} & set(command), command
        assert "--billing-project=my-project" in command
