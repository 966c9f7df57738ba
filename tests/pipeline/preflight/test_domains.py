"""Domains: whether they lead to the stack, and whether Google may issue their certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from pipeline import preflight
from pipeline.preflight.findings import NotLookedAt, Severity
from tests.pipeline.google import Google
from tests.pipeline.preflight.support import OUTPUTS, PROD, look


def domain_findings(google: Google, outputs: Mapping[str, Any], **records: list[str]) -> Iterator[tuple[Severity, str]]:
    found = {("classify.example.com", kind): texts for kind, texts in records.items()}
    if caa := records.get("CAA"):
        found = {**found, ("classify.example.com", "CAA"): [], ("example.com", "CAA"): caa}
    for finding in look(google, PROD, outputs, found).findings:
        if "example.com" in finding.sentence and "me@" not in finding.sentence:
            yield finding.severity, finding.sentence


def test_a_domain_that_leads_to_the_stack(google: Google) -> None:
    found = list(domain_findings(google, OUTPUTS, A=["203.0.113.9"]))
    assert [severity for severity, _ in found] == [Severity.GOOD] * 2


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ({}, "classify.example.com has no A record: set it to 203.0.113.9"),
        (
            {"A": ["198.51.100.1"]},
            "the A record of classify.example.com says 198.51.100.1: set it to 203.0.113.9 alone",
        ),
        ({"A": ["198.51.100.1", "203.0.113.9"]}, "the A record of classify.example.com says 198.51.100.1, 203.0.113.9"),
        ({"A": ["203.0.113.9"], "AAAA": ["2001:db8::1"]}, "classify.example.com has an AAAA record (2001:db8::1) and"),
        (
            {"A": ["203.0.113.9"], "CAA": ['0 issue "letsencrypt.org"', '0 iodef "mailto:me@x.org"']},
            "the CAA records of example.com let letsencrypt.org issue certificates for classify.example.com, not",
        ),
        ({"A": ["203.0.113.9"], "CAA": ['0 issue ";"']}, "the CAA records of example.com let nobody issue"),
    ],
)
def test_records_that_keep_a_certificate_from_being_issued_warn(
    records: dict[str, list[str]], sentence: str, google: Google
) -> None:
    (found,) = [text for severity, text in domain_findings(google, OUTPUTS, **records) if severity is Severity.WARN]
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    "caa",
    [['0 issue "pki.goog"', '0 issue "letsencrypt.org"'], ['0 issuewild "letsencrypt.org"'], ['0 ISSUE "PKI.goog"']],
)
def test_records_that_let_google_issue(caa: list[str], google: Google) -> None:
    found = domain_findings(google, OUTPUTS, A=["203.0.113.9"], CAA=caa)
    assert [severity for severity, _ in found] == [Severity.GOOD] * 2


def test_records_by_which_a_domain_is_proved_are_looked_for_too(google: Google) -> None:
    proof = {"name": "_acme-challenge.classify.example.com.", "type": "CNAME", "value": "1.authorize.example.goog."}
    records = {(proof["name"].rstrip("."), "CNAME"): ["2.authorize.example.goog."]}
    report = look(google, replace(PROD, certificates="dns"), {"records": [proof]}, records)
    assert any("says 2.authorize.example.goog: set it to 1.authorize" in text for text in report.of(Severity.WARN))


def test_records_are_not_missed_before_anybody_can_know_the_address(google: Google) -> None:
    assert not any("record" in text for text in look(google, PROD).of(Severity.WARN))


def test_dns_that_does_not_answer_ends_nothing(google: Google) -> None:
    def silent(name: str, kind: str) -> list[str]:
        raise NotLookedAt(f"DNS does not say what {name} is")

    report = preflight.look(PROD, OUTPUTS, google, silent)
    assert len([text for text in report.of(Severity.SKIPPED) if "DNS does not say" in text]) == 2
