"""Roles: who may not make everything is told which are missing."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from infra.settings import Settings
from pipeline.preflight import project
from pipeline.preflight.findings import Severity
from tests.conftest import REPOSITORY
from tests.pipeline.google import Google
from tests.pipeline.preflight.support import PROD, SETTINGS, look, only


def roles(*held: str, condition: bool = False) -> dict[str, Any]:
    binding = {"condition": {"expression": "true"}} if condition else {}
    return {
        "bindings": [{"members": ["user:me@example.com", "group:g@x.org"], "role": role, **binding} for role in held]
    }


def test_an_editor_is_told_which_roles_are_missing(google: Google) -> None:
    google.say("get-iam-policy", out=roles("roles/editor"))
    sentence = only(look(google), Severity.WARN)
    assert sentence.startswith(
        "me@example.com lacks roles/artifactregistry.admin (the registry and who reads it), "
        "roles/iam.serviceAccountAdmin (service accounts and who uses them), roles/resourcemanager.projectIamAdmin"
    )


@pytest.mark.parametrize("settings", [SETTINGS, replace(PROD, pipeline=True, repository="a/b", certificates="dns")])
def test_the_roles_that_are_named_as_missing_suffice(settings: Settings, google: Google) -> None:
    google.say("get-iam-policy", out=roles(*{enough[0] for enough in project.needed_roles(settings).values()}))
    assert look(google, settings).of(Severity.STOP) == []
    assert not any("lacks" in sentence for sentence in look(google, settings).of(Severity.WARN))


@pytest.mark.parametrize("policy", [roles(), roles("roles/owner", condition=True), {}])
def test_roles_that_cannot_be_seen_are_no_reason(policy: dict[str, Any], google: Google) -> None:
    google.say("get-iam-policy", out=policy)
    assert "has no role of its own" in only(look(google), Severity.SKIPPED)


def test_every_kind_of_thing_that_the_program_makes_has_a_role() -> None:
    """So that whoever lacks the right to make a new kind of thing hears of it beforehand."""
    sources = "\n".join(file.read_text("utf-8") for file in (REPOSITORY / "infra").glob("*.py"))
    made = set(re.findall(r"\bgcp\.(\w+)\.[A-Z]\w+\(", sources))
    everything = replace(
        PROD,
        pipeline=True,
        repository="a/b",
        certificates="both",
        comment_secret="comments",  # noqa: S106  # its name
    )
    services = {enough[0].removeprefix("roles/").split(".")[0] for enough in project.needed_roles(everything).values()}
    called = {
        "cloudbuildv2": "cloudbuild",
        "kms": "cloudkms",
        "projects": "resourcemanager",
        "serviceaccount": "iam",
    }
    # A budget is made with a right on the billing account, which no project gives.
    assert {called.get(module, module) for module in made} - services == {"billing"}


def test_a_service_account_is_looked_for_as_one(google: Google) -> None:
    account = "ci@my-project.iam.gserviceaccount.com"
    google.say("config", "get", "account", out=account)
    google.say("get-iam-policy", out={"bindings": [{"members": [f"serviceAccount:{account}"], "role": "roles/owner"}]})
    assert any(account in sentence for sentence in look(google).of(Severity.GOOD))


STATE = {"the accounts' rights on the state", "the accounts' rights on the key"}
TRIGGERS = {"triggers", "the connection to GitHub"}
TOKENS = {"who reads the tokens for GitHub"}
CALENDAR = {"builds by the calendar", "the messages that start them"}


@pytest.mark.parametrize(
    ("more", "needed"),
    [
        ({"certificates": "dns"}, {"certificates"}),
        ({"repository": "a/b", "comment_secret": "comments", "github_installation": 42}, set()),
        ({"pipeline": True}, STATE),
        ({"pipeline": True, "repository": "a/b", "maintenance": False}, STATE | TRIGGERS),
        ({"pipeline": True, "repository": "a/b"}, STATE | TRIGGERS | CALENDAR),
        ({"pipeline": True, "maintenance": False, "comment_secret": "comments"}, STATE | TOKENS),
        ({"pipeline": True, "maintenance": False, "github_installation": 42}, STATE | TOKENS),
    ],
    ids=["dns", "no pipeline", "accounts", "triggers", "calendar", "comments", "connection"],
)
def test_a_role_is_asked_for_only_where_something_needs_it(more: dict[str, Any], needed: set[str]) -> None:
    assert set(project.needed_roles(replace(PROD, **more))) - set(project.needed_roles(PROD)) == needed


@pytest.mark.parametrize(
    ("held", "what"),
    [
        (["roles/owner", "roles/viewer"], "roles/owner"),
        ([enough[0] for enough in project.needed_roles(SETTINGS).values()], "9 roles"),
    ],
    ids=["owner", "by roles"],
)
def test_whoever_may_make_everything_is_told_by_what(held: list[str], what: str, google: Google) -> None:
    google.say("get-iam-policy", out=roles(*held))
    assert f"me@example.com may make everything ({what})" in look(google).of(Severity.GOOD)
