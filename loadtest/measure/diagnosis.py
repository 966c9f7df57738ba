"""Why a service cannot be tested, in one sentence that says what to do."""

from __future__ import annotations

import requests

from loadtest.errors import LoadTestError
from loadtest.measure.endpoint import IAP_TOKEN, TOKEN


class Unreachable(LoadTestError):
    """Nobody answers; that may still change."""


def no_answer(name: str, error: requests.RequestException) -> LoadTestError:
    """Return what is said of a request without an answer."""
    if isinstance(error, requests.exceptions.SSLError):
        return LoadTestError(
            f"{name} has a certificate that is not trusted: --ca FILE names who signed it, --insecure accepts any. "
            f"({_innermost(error)})"
        )
    return Unreachable(
        f"{name} cannot be reached: {_innermost(error)}. Is the service running, and is this its address?"
    )


def not_ready(name: str, response: requests.Response) -> LoadTestError:
    """Return what is said of a service that is not ready, with the detail that it gives."""
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"/readyz answers {response.status_code}"
    return LoadTestError(f"{name} is not ready: {detail}")


def unexpected_status(name: str, response: requests.Response) -> LoadTestError:
    """Return what is said of an answer to /readyz that neither a ready nor a starting service gives."""
    status = response.status_code
    if status in (301, 302, 303, 307, 308):
        where = response.headers.get("Location", "")[:100]
        if "accounts.google.com" in where:
            return LoadTestError(
                f"{name} asks for a sign-in (Identity-Aware Proxy): set {IAP_TOKEN}; docs/loadtest.md."
            )
        return LoadTestError(f"{name} redirects to {where}: give that address as --host.")
    if status == 401:
        return LoadTestError(f"{name} asks for a token (401): set {TOKEN} or {IAP_TOKEN}; docs/loadtest.md says how.")
    if status == 403:
        return LoadTestError(
            f"{name} does not let this machine in (403): add its address to the allowlist, or set {TOKEN} or "
            f"{IAP_TOKEN}."
        )
    return another_service(name, f"/readyz answers {status}")


def another_service(name: str, why: str) -> LoadTestError:
    """Return what is said of answers that are not those of the service's interface."""
    return LoadTestError(f"{name} is another service than the one that this tests: {why}.")


def _innermost(error: BaseException) -> str:
    """Return the cause that a person understands, such as "Connection refused"."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
