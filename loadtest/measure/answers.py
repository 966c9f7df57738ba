"""What an answer is worth: good, refused or failed, and why. The only place that knows the service's interface.

Refusals (429) are the service's way to stay fast for those whom it lets in, and to give up what it let in in vain; they
are counted apart from failures. A bad file must be told apart from a picture: then a 400, 413, 415 or 422 is the good
answer, and a 200 the failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from loadtest.plan.mix import BAD

LOST_WORKER = "never answered: its worker was lost"
PATH = "/predict"
_PROBLEM_TYPE = "application/problem+json"
_BAD_FILE = (400, 413, 415, 422)
_FIRST_CHARACTERS = 200


class Outcome(IntEnum):
    """What became of a request."""

    GOOD = 0
    REFUSED = 1
    FAILED = 2


@dataclass(frozen=True)
class Judgement:
    """An outcome, its reason in a few words (few different ones), and what was said in detail."""

    outcome: Outcome
    reason: str
    detail: str = ""
    retry_after_sec: float = 0.0


def judge(request_kind: str, pictures: int, status: int, headers: Mapping[str, str], body: bytes) -> Judgement:
    """Return what an answer to a request of `request_kind` with `pictures` pictures is worth. `headers` ignore case."""
    if status == 429:
        return _refused(headers, body)
    if status == 200:
        if request_kind == BAD:
            return Judgement(Outcome.FAILED, "200 for a bad file", _shown(body))
        complaint = complaint_about(body, pictures)
        return Judgement(Outcome.FAILED, complaint, _shown(body)) if complaint else Judgement(Outcome.GOOD, "200")
    problem = _problem(headers, body)
    if request_kind == BAD and status in _BAD_FILE and problem:
        return Judgement(Outcome.GOOD, f"{status} {_name(problem)}")
    if problem:
        return Judgement(Outcome.FAILED, f"{status} {_name(problem)}", str(problem.get("detail", "")))
    return Judgement(Outcome.FAILED, f"{status}, not from the service", _shown(body))


def judge_error(error: BaseException | None) -> Judgement:
    """Return the failure that a connection without an answer is."""
    name, text = type(error).__name__, str(error)
    reasons = {
        "ConnectionRefusedError": "connection refused",
        "ConnectionResetError": "connection reset",
        "BrokenPipeError": "connection reset",
        "HTTPConnectionClosed": "connection closed without an answer",
        "gaierror": "host name not found",
        "SSLCertVerificationError": "certificate not trusted",
        "TimeoutError": "no answer in time",
        "timeout": "no answer in time",
        "Timeout": "no answer in time",
    }
    return Judgement(Outcome.FAILED, reasons.get(name, f"no answer: {name}"), text)


def complaint_about(body: bytes, pictures: int) -> str:
    """Return what is wrong with a successful answer; "" where it is what the interface promises."""
    try:
        document = json.loads(body)
        if pictures == 1:
            return "" if _are_predictions(document["predictions"]) else "200 without predictions"
        results = document["results"]
        if len(results) != pictures:
            return f"200 with {len(results)} results for {pictures} pictures"
        return (
            "" if all(_are_predictions(result.get("predictions")) for result in results) else "200 with an error inside"
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return "200 that is no answer of this service"


def _are_predictions(predictions: Any) -> bool:
    return (
        isinstance(predictions, list)
        and len(predictions) > 0
        and all(isinstance(p["label"], str) and 0.0 <= p["probability"] <= 1.0 for p in predictions)
    )


def _refused(headers: Mapping[str, str], body: bytes) -> Judgement:
    text = headers.get("Retry-After") or ""
    retry_after_sec = float(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 1.0
    if problem := _problem(headers, body):
        reason = f"429 {_name(problem)}" if text else "429 without Retry-After"
        return Judgement(Outcome.REFUSED, reason, str(problem.get("detail", "")), retry_after_sec)
    return Judgement(Outcome.REFUSED, "429 from before the service (Cloud Armor?)", _shown(body), retry_after_sec)


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """Return the RFC 9457 problem in an answer."""
    if (headers.get("Content-Type") or "").partition(";")[0].strip() != _PROBLEM_TYPE:
        return None
    try:
        problem = json.loads(body)
    except ValueError:
        return None
    return problem if isinstance(problem, dict) else None


def _name(problem: dict[str, Any]) -> str:
    return str(problem.get("type", "")).rpartition("#")[2][:40] or "problem"


def _shown(body: bytes) -> str:
    return " ".join(body[:_FIRST_CHARACTERS].decode("utf-8", "replace").split())
