"""Roles: who may not make everything is told which are missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.settings import Settings
from pipeline.preflight import project
from pipeline.preflight.findings import Severity
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


def test_a_service_account_is_looked_for_as_one(google: Google) -> None:
    account = "ci@my-project.iam.gserviceaccount.com"
    google.say("config", "get", "account", out=account)
    google.say("get-iam-policy", out={"bindings": [{"members": [f"serviceAccount:{account}"], "role": "roles/owner"}]})
    assert any(account in sentence for sentence in look(google).of(Severity.GOOD))
