"""Policies of the organisation: one that forbids part of the stack ends it beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from infra.settings import Settings
from pipeline.preflight.findings import Severity
from tests.pipeline.google import DENIED, Google
from tests.pipeline.preflight.support import SETTINGS, SINGLE, look, only


@pytest.mark.parametrize(
    ("constraint", "policy", "settings", "forbidden"),
    [
        ("gcp.restrictServiceUsage", {"deniedValues": ["dns.googleapis.com"]}, SETTINGS, "the APIs dns in"),
        (
            "gcp.restrictServiceUsage",
            {"allowedValues": ["is:compute.googleapis.com"]},
            SETTINGS,
            "artifactregistry, dns",
        ),
        ("gcp.restrictServiceUsage", {"allValues": "DENY"}, SETTINGS, "artifactregistry, compute, dns in"),
        ("serviceuser.services", {"deniedValues": ["compute.googleapis.com"]}, SETTINGS, "the APIs compute"),
        ("compute.vmExternalIpAccess", {"allValues": "DENY"}, SINGLE, "machines with an external address"),
        ("compute.vmExternalIpAccess", {"allowedValues": ["projects/p/zones/z/instances/a"]}, SINGLE, "machines with"),
        ("compute.restrictLoadBalancerCreationForTypes", {"allowedValues": ["in:INTERNAL"]}, SETTINGS, "balancers"),
        (
            "compute.trustedImageProjects",
            {"allowedValues": ["projects/ours"]},
            SETTINGS,
            "images of projects/cos-cloud",
        ),
        ("gcp.restrictNonCmekServices", {"deniedValues": ["compute.googleapis.com"]}, SETTINGS, "without a key"),
    ],
)
def test_a_policy_that_forbids_part_of_the_stack_stops_it(
    constraint: str, policy: dict[str, Any], settings: Settings, forbidden: str, google: Google
) -> None:
    google.say("org-policies", constraint, out={"constraint": f"constraints/{constraint}", "listPolicy": policy})
    sentence = only(look(google, settings), Severity.STOP)
    assert sentence.startswith(f"the organisation's policy {constraint} forbids ")
    assert forbidden in sentence


@pytest.mark.parametrize("constraint", ["compute.disableGlobalLoadBalancing", "iam.disableServiceAccountCreation"])
def test_a_policy_that_is_on_or_off_stops_it_where_it_is_on(constraint: str, google: Google) -> None:
    google.say("org-policies", constraint, out={"booleanPolicy": {}})
    assert look(google).of(Severity.STOP) == []
    google.say("org-policies", constraint, out={"booleanPolicy": {"enforced": True}})
    assert constraint in only(look(google), Severity.STOP)


@pytest.mark.parametrize(
    ("constraint", "policy", "settings"),
    [
        # Machines of a fleet have no external address, and one machine has no balancer.
        ("compute.vmExternalIpAccess", {"allValues": "DENY"}, SETTINGS),
        ("compute.restrictLoadBalancerCreationForTypes", {"allValues": "DENY"}, SINGLE),
        ("compute.restrictLoadBalancerCreationForTypes", {"allowedValues": ["in:EXTERNAL"]}, SETTINGS),
        ("compute.trustedImageProjects", {"allowedValues": ["is:projects/cos-cloud"]}, SETTINGS),
        ("gcp.restrictServiceUsage", {"deniedValues": ["bigquery.googleapis.com"]}, SETTINGS),
        ("gcp.restrictNonCmekServices", {"allValues": "ALLOW"}, SETTINGS),
    ],
)
def test_a_policy_that_forbids_what_the_stack_lacks_is_no_reason(
    constraint: str, policy: dict[str, Any], settings: Settings, google: Google
) -> None:
    google.say("org-policies", constraint, out={"listPolicy": policy})
    assert look(google, settings).of(Severity.STOP) == []


def test_policies_of_which_one_may_not_be_seen_are_named(google: Google) -> None:
    google.say("org-policies", "serviceuser.services", err=DENIED)
    report = look(google)
    assert "organisation policies (serviceuser.services): " in only(report, Severity.SKIPPED)
    assert any("no policy of the organisation that was looked at" in sentence for sentence in report.of(Severity.GOOD))


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ({"out": {"listPolicy": {"allValues": "DENY"}}}, Severity.STOP),
        ({"err": DENIED}, Severity.SKIPPED),
    ],
    ids=["all forbid", "none may be seen"],
)
def test_policies_are_called_good_only_where_one_was_looked_at_and_none_forbids(
    rule: dict[str, Any], severity: Severity, google: Google
) -> None:
    google.say("org-policies", **rule)
    report = look(google)
    assert report.of(severity)
    assert not any("no policy of the organisation" in sentence for sentence in report.of(Severity.GOOD))
