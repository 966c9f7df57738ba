"""Looks before anything is made: questions that change nothing, each optional, with a sentence for each.

What `make up` would only find out in the middle (no billing, a forbidding policy, a quota, a missing machine type) ends
it beforehand. What nobody may tell is said and passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra.settings import Settings
from pipeline import gcloud
from pipeline.errors import StepFailed, log
from pipeline.preflight import domains, duration, policies, project, quotas, zones
from pipeline.preflight.findings import Check, Finding, NotLookedAt, Questions, Resolve, Severity, skipped

# Questions at a time: each is a process of gcloud.
_THREADS = 8
_WIDTH = max(len(severity) for severity in Severity)


@dataclass(frozen=True)
class Report:
    """All that was found."""

    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> list[str]:
        """Return the sentences of one severity."""
        return [finding.sentence for finding in self.findings if finding.severity is severity]

    def raise_if_stopped(self) -> None:
        """End here where a deployment cannot succeed.

        Raises:
            StepFailed: with a sentence for each reason.
        """
        if stops := self.of(Severity.STOP):
            raise StepFailed("\n          ".join([*stops, "Nothing was made."]))


def due(outputs: Mapping[str, Any]) -> bool:
    """Return whether to look by itself: before the first image."""
    return not outputs.get("image")


def checks(settings: Settings) -> list[tuple[str, Check]]:
    """Return what is looked at, in the order of the report."""
    listed: list[tuple[str, Check]] = [
        ("billing", project.billing),
        ("organisation policies", policies.check),
        ("your roles", project.roles),
        ("the machine type in each zone", zones.check),
        (f"the quotas of {settings.region}", quotas.regional),
        ("the quotas of all regions", quotas.of_project),
    ]
    if settings.domains:
        listed += [("the domains' records", domains.records), ("the domains' CAA records", domains.authorities)]
    return listed


def look(
    settings: Settings,
    outputs: Mapping[str, Any],
    run: gcloud.Run = gcloud.look,
    resolve: Resolve = domains.resolve,
) -> Report:
    """Look at everything at once and print what is found.

    Args:
        settings: the stack's.
        outputs: the stack's; empty before its first update.
        run: runs a command that changes nothing.
        resolve: asks DNS.
    """
    questions = Questions(settings, outputs, run, resolve)
    log(f"Looking at the project {settings.project} before anything is made; nothing is changed:")
    with ThreadPoolExecutor(_THREADS) as threads:
        answers = [threads.submit(_answer, what, check, questions) for what, check in checks(settings)]
    report = Report(tuple(finding for answer in answers for finding in answer.result()))
    for finding in report.findings:
        # What ends it is said last.
        if finding.severity is not Severity.STOP:
            log(f"  {finding.severity:{_WIDTH}}  {finding.sentence}")
    if not questions.running and not report.of(Severity.STOP):
        for line in duration.lines(settings):
            log(line)
    return report


def _answer(what: str, check: Check, questions: Questions) -> Sequence[Finding]:
    findings: list[Finding] = []
    try:
        for finding in check(questions):
            findings.append(finding)  # noqa: PERF402  # what was found before a question failed stays found
    except NotLookedAt as reason:
        findings.append(skipped(what, str(reason)))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # No answer of Google's may end a deployment because it looks otherwise than it did.
        findings.append(skipped(what, f"the answer has an unknown form ({type(error).__name__}: {error})"))
    return findings
