"""What an answer is worth. Refusals are no failures, a bad file is answered well with an error, a lie is a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadtest.measure.answers import Outcome, judge, judge_error

GOOD, REFUSED, FAILED = Outcome.GOOD, Outcome.REFUSED, Outcome.FAILED
ONE = {"predictions": [{"label": "cat", "index": 1, "probability": 0.9}]}


def problem(name: str) -> bytes:
    return json.dumps({"type": f"/docs#{name}", "detail": "why"}).encode()


JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json; charset=utf-8"}
OVERLOADED = {**PROBLEM, "Retry-After": "3"}
ANSWER = json.dumps(ONE).encode()
NO_PREDICTIONS, NO_ANSWER = "200 without predictions", "200 that is no answer of this service"


def several(*results: object) -> bytes:
    return json.dumps({"results": results}).encode()


CASES: dict[str, tuple[str, int, int, dict[str, str], bytes, Outcome, str]] = {
    "a picture": ("small", 1, 200, JSON, ANSWER, GOOD, "200"),
    "four pictures": ("several", 4, 200, JSON, several(*[ONE] * 4), GOOD, "200"),
    "a result too few": ("several", 4, 200, JSON, several(*[ONE] * 3), FAILED, "200 with 3 results for 4 pictures"),
    "an error among them": ("several", 2, 200, JSON, several(ONE, {"error": {}}), FAILED, "200 with an error inside"),
    "no predictions": ("small", 1, 200, JSON, b'{"predictions": []}', FAILED, NO_PREDICTIONS),
    "an impossible probability": ("small", 1, 200, JSON, ANSWER.replace(b"0.9", b"1.9"), FAILED, NO_PREDICTIONS),
    "no probability": ("small", 1, 200, JSON, b'{"predictions": [{"label": "x"}]}', FAILED, NO_ANSWER),
    "a list": ("small", 1, 200, JSON, b"[]", FAILED, NO_ANSWER),
    "a web page": ("small", 1, 200, {}, b"<html>", FAILED, NO_ANSWER),
    "a bad file told apart": ("bad", 1, 415, PROBLEM, problem("unsupported"), GOOD, "415 unsupported"),
    "a bad file classified": ("bad", 1, 200, JSON, ANSWER, FAILED, "200 for a bad file"),
    "a bad file and a crash": ("bad", 1, 500, PROBLEM, problem("internal-error"), FAILED, "500 internal-error"),
    "a good file told bad": ("small", 1, 415, PROBLEM, problem("unsupported"), FAILED, "415 unsupported"),
    "refused": ("small", 1, 429, OVERLOADED, problem("overloaded"), REFUSED, "429 overloaded"),
    "refused, a bad file": ("bad", 1, 429, OVERLOADED, problem("overloaded"), REFUSED, "429 overloaded"),
    "refused without a time": ("small", 1, 429, PROBLEM, problem("overloaded"), REFUSED, "429 without Retry-After"),
    "refused on the way": ("small", 1, 429, {}, b"no", REFUSED, "429 from before the service (Cloud Armor?)"),
    "out of time": ("small", 1, 429, OVERLOADED, problem("out-of-time"), REFUSED, "429 out-of-time"),
    "late": ("small", 1, 408, PROBLEM, problem("deadline-exceeded"), FAILED, "408 deadline-exceeded"),
    "a bad file, late": ("bad", 1, 408, PROBLEM, problem("deadline-exceeded"), FAILED, "408 deadline-exceeded"),
    "the balancer's 502": ("small", 1, 502, {}, b"<html>Server Error", FAILED, "502, not from the service"),
    "a redirect": ("small", 1, 302, {}, b"", FAILED, "302, not from the service"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_worth(case: str) -> None:
    request_kind, pictures, status, headers, body, outcome, reason = CASES[case]
    found = judge(request_kind, pictures, status, headers, body)
    assert (found.outcome, found.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3.0), ("0", 0.0), ("", 1.0), ("soon", 1.0), ("-4", 1.0), ("٣", 1.0)]
)
def test_retry_after_is_read_or_taken_as_a_second(text: str, seconds: float) -> None:
    headers: dict[str, Any] = {**PROBLEM, "Retry-After": text}
    assert judge("small", 1, 429, headers, problem("overloaded")).retry_after_sec == seconds


def test_connections_that_break_are_failures_of_few_kinds() -> None:
    assert judge_error(ConnectionRefusedError("x")).reason == "connection refused"
    assert judge_error(TimeoutError()).reason == "no answer in time"
    assert judge_error(RuntimeError("odd")).reason == "no answer: RuntimeError"
    assert judge_error(None).outcome is FAILED
