"""Changes that would put the service out of reach are refused beforehand, with the way around."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.settings import Settings
from pipeline import transitions
from pipeline.errors import StepFailed

HTTPS = Settings("dev", "my-project", "europe-west1", https=True, domains=("classify.example.com",))


def running(certificates: str) -> dict[str, Any]:
    return {"image": "registry/classifier@sha256:0", "certificates": certificates}


def test_certificates_by_dns_are_prepared_before_they_are_used() -> None:
    with pytest.raises(StepFailed, match="set it to both, `make up`") as refused:
        transitions.check(running("load-balancer"), replace(HTTPS, certificates="dns"))
    assert str(refused.value).endswith("Nothing was changed.")
    transitions.check(running("load-balancer"), replace(HTTPS, certificates="both"))
    transitions.check(running("both"), replace(HTTPS, certificates="dns"))
    transitions.check({}, replace(HTTPS, certificates="dns"))


@pytest.mark.parametrize(
    ("before", "settings", "told"),
    [
        ("", HTTPS, True),
        ("", replace(HTTPS, certificates="both"), True),
        ("", replace(HTTPS, redirect_http=False), False),
        ("", replace(HTTPS, certificates="dns"), False),
        ("load-balancer", HTTPS, False),
    ],
)
def test_the_first_https_without_a_certificate_is_told_once(
    before: str, settings: Settings, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    transitions.check(running(before), settings)
    assert ("redirectHttp" in capsys.readouterr().out) is told


@pytest.mark.parametrize(
    ("before", "settings"),
    [
        # Outputs of a stack that has its foundations only, and serves nobody yet.
        ({"image": "", "certificates": "load-balancer"}, replace(HTTPS, certificates="dns")),
        ({"image": "", "certificates": ""}, HTTPS),
        # HTTPS is turned off: there is no certificate to wait for.
        (running("load-balancer"), replace(HTTPS, https=False, certificates="dns")),
        (running(""), replace(HTTPS, https=False)),
    ],
)
def test_where_nobody_is_served_over_https_nothing_is_said(
    before: dict[str, Any], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    transitions.check(before, settings)
    assert capsys.readouterr().out == ""
