"""The way to the service: its address, the token, and whether it is what it is taken for.

Nothing here follows a redirect or a proxy of the environment: neither do the requests of the test.
"""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from loadtest.errors import LoadTestError
from loadtest.measure import connect
from loadtest.measure.answers import PATH, complaint_about
from loadtest.plan.bodies import Body

# Who may call Cloud Run or an API gateway, and who may pass Identity-Aware Proxy: two headers, so that both can be sent
# (https://cloud.google.com/iap/docs/authentication-howto).
TOKEN, IAP_TOKEN = "LOADTEST_TOKEN", "LOADTEST_IAP_TOKEN"
_TIMEOUT_SEC = 15.0
_READY_INTERVAL_SEC = 0.2


@dataclass(frozen=True)
class Target:
    """A service under test."""

    url: str  # without a path
    headers: Mapping[str, str] = field(default_factory=dict)
    insecure: bool = False
    connect_to: str | None = None  # an IP address, where it is not the one that the name has

    @property
    def name(self) -> str:
        """Return what people are told that it is."""
        return f"{self.url} at {self.connect_to}" if self.connect_to else self.url

    @property
    def local(self) -> bool:
        """Return whether it is this machine."""
        return _is_local(self.connect_to or urlsplit(self.url).hostname or "")


def target(
    host: str, insecure: bool = False, connect_to: str | None = None, environ: Mapping[str, str] | None = None
) -> Target:
    """Return the target that `--host` names, with the tokens of the environment.

    Raises:
        LoadTestError: it is no address of a service, `connect_to` is no IP address, or a token would cross a network
            unencrypted.
    """
    parts = urlsplit(host)
    try:
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise LoadTestError(
            f"--host {host!r} is no address of a service: write one such as https://pictures.example.com"
        )
    headers = _tokens(os.environ if environ is None else environ)
    pinned = None if connect_to is None else connect.address(connect_to)
    found = Target(f"{parts.scheme}://{parts.netloc}", headers, insecure, pinned)
    if headers and parts.scheme == "http" and not found.local:
        raise LoadTestError(
            f"A token would cross the network in the clear to {found.name}: use https://, or unset {TOKEN} and "
            f"{IAP_TOKEN}."
        )
    return found


def _tokens(environ: Mapping[str, str]) -> dict[str, str]:
    headers = {}
    for variable, header in ((TOKEN, "Authorization"), (IAP_TOKEN, "Proxy-Authorization")):
        token = environ.get(variable, "").strip()
        if not token:
            continue
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise LoadTestError(f"{variable} holds no token: it has blanks or characters that no token has.")
        headers[header] = f"Bearer {token}"
    return headers


def _is_local(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Service:
    """The service behind a target, for a few questions before and after the test."""

    def __init__(self, found: Target) -> None:
        self._target = found
        self._http = connect.session(found.connect_to, found.insecure)
        self._http.headers.update({**found.headers, "Accept": "application/json"})

    def check(self, body: Body, wait_sec: float = 0.0) -> dict[str, Any]:
        """Return what /version says, after the service said that it is ready and answered one picture as it should.

        Raises:
            LoadTestError: nobody answers, someone else does, or the service is not ready within `wait_sec`.
        """
        self._wait_until_ready(wait_sec)
        version = self._json("GET", "/version")
        if not isinstance(version.get("model"), dict) or "version" not in version:
            raise self._stranger(f"/version says {json.dumps(version)[:100]}")
        response = self._ask("POST", PATH, data=body.data, headers={"Content-Type": body.content_type})
        if response.status_code != 200 or (complaint := complaint_about(response.content, body.pictures)):
            said = f"{response.status_code} {response.text[:200]}" if response.status_code != 200 else complaint
            raise self._stranger(f"a picture sent to {PATH} brought {said!r}")
        return version

    def process(self) -> dict[str, float]:
        """Return processor seconds and resident bytes of the process that answers /metrics; {} where it does not.

        Only of use on one machine: behind a balancer each answer comes from another process.
        """
        try:
            text = self._ask("GET", "/metrics").text
        except LoadTestError:
            return {}
        found = dict(line.split(" ", 1) for line in text.splitlines() if line.startswith("process_") and " " in line)
        names = {"cpu_sec": "process_cpu_seconds_total", "resident_bytes": "process_resident_memory_bytes"}
        return {ours: float(found[theirs]) for ours, theirs in names.items() if theirs in found}

    def _wait_until_ready(self, wait_sec: float) -> None:
        end = time.monotonic() + wait_sec
        while True:
            try:
                response = self._ask("GET", "/readyz")
                if response.status_code == 200 and self._parsed(response).get("status") == "ready":
                    return
                late = LoadTestError(f"{self._target.name} is not ready: {self._detail(response)}")
                if response.status_code != 503:
                    raise self._refusal(response)
            except _Unreachable as error:
                late = error
            if time.monotonic() >= end:
                raise late
            time.sleep(_READY_INTERVAL_SEC)

    def _refusal(self, response: requests.Response) -> LoadTestError:
        url, status = self._target.name, response.status_code
        if status in (301, 302, 303, 307, 308):
            where = response.headers.get("Location", "")[:100]
            if "accounts.google.com" in where:
                return LoadTestError(
                    f"{url} asks for a sign-in (Identity-Aware Proxy): set {IAP_TOKEN}; docs/loadtest.md."
                )
            return LoadTestError(f"{url} redirects to {where}: give that address as --host.")
        if status == 401:
            return LoadTestError(
                f"{url} asks for a token (401): set {TOKEN} or {IAP_TOKEN}; docs/loadtest.md says how."
            )
        if status == 403:
            return LoadTestError(
                f"{url} does not let this machine in (403): add its address to the allowlist, or set {TOKEN} or "
                f"{IAP_TOKEN}."
            )
        return self._stranger(f"/readyz answers {status}")

    def _stranger(self, why: str) -> LoadTestError:
        return LoadTestError(f"{self._target.name} is another service than the one that this tests: {why}.")

    def _json(self, method: str, path: str) -> dict[str, Any]:
        response = self._ask(method, path)
        if response.status_code != 200:
            raise self._stranger(f"{path} answers {response.status_code}")
        return self._parsed(response)

    def _parsed(self, response: requests.Response) -> dict[str, Any]:
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._stranger(f"{urlsplit(response.url).path} answers {response.text[:60]!r}")
        return found

    def _detail(self, response: requests.Response) -> str:
        try:
            return str(response.json()["detail"])
        except (ValueError, KeyError, TypeError):
            return f"/readyz answers {response.status_code}"

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        name = self._target.name
        try:
            return self._http.request(
                method, self._target.url + path, timeout=_TIMEOUT_SEC, allow_redirects=False, **options
            )
        except requests.exceptions.SSLError as error:
            raise LoadTestError(
                f"{name} has a certificate that is not trusted; --insecure accepts it. ({_innermost(error)})"
            ) from error
        except requests.RequestException as error:
            raise _Unreachable(
                f"{name} cannot be reached: {_innermost(error)}. Is the service running, and is this its address?"
            ) from error


class _Unreachable(LoadTestError):
    """Nobody answers; that may still change."""


def _innermost(error: BaseException) -> str:
    """Return the cause that a person understands, such as "Connection refused"."""
    found: BaseException = error
    while (deeper := found.__cause__ or found.__context__) is not None:
        found = deeper
    return getattr(found, "strerror", None) or str(found) or type(found).__name__
