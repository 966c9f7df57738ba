"""The service before and after a test: is it ready, is it what it is taken for, what has its process used?

Nothing here follows a redirect or a proxy of the environment: neither do the requests of the test.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from typing import Any
from urllib.parse import urlsplit

import requests

from loadtest.errors import LoadTestError
from loadtest.measure import connect, diagnosis
from loadtest.measure.answers import PATH, complaint_about
from loadtest.measure.endpoint import Endpoint
from loadtest.plan.bodies import Body

_TIMEOUT_SEC = 15.0
_READY_INTERVAL_SEC = 0.2
_PROCESS_METRICS = {"cpu_sec": "process_cpu_seconds_total", "resident_bytes": "process_resident_memory_bytes"}


class Service:
    """The service at an endpoint, for a few questions."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http = connect.session(endpoint)
        self._http.headers["Accept"] = "application/json"

    def check(self, body: Body, wait_sec: float = 0.0) -> dict[str, Any]:
        """Return what /version says, after the service said that it is ready and answered one picture as it should.

        Raises:
            LoadTestError: nobody answers, someone else does, or the service is not ready within `wait_sec`.
        """
        self._wait_until_ready(wait_sec)
        version = self._version()
        response = self._request("POST", PATH, data=body.data, headers={"Content-Type": body.content_type})
        if response.status_code != 200:
            raise self._other(f"a picture sent to {PATH} brought {f'{response.status_code} {response.text[:200]}'!r}")
        if complaint := complaint_about(response.content, body.pictures):
            raise self._other(f"a picture sent to {PATH} brought {complaint!r}")
        return version

    def process(self) -> dict[str, float]:
        """Return processor seconds and resident bytes of the process that answers /metrics; {} where it does not.

        Only of use on one machine: behind a balancer each answer comes from another process.
        """
        try:
            text = self._request("GET", "/metrics").text
        except LoadTestError:
            return {}
        values = dict(line.split(" ", 1) for line in text.splitlines() if line.startswith("process_") and " " in line)
        used = {}
        for name, theirs in _PROCESS_METRICS.items():
            with contextlib.suppress(KeyError, ValueError):  # a page of another's at this path says anything
                used[name] = float(values[theirs])
        return {name: value for name, value in used.items() if math.isfinite(value)}

    def _wait_until_ready(self, wait_sec: float) -> None:
        end = time.monotonic() + wait_sec
        while True:
            try:
                response = self._request("GET", "/readyz")
                if response.status_code == 200 and self._parsed(response).get("status") == "ready":
                    return
                if response.status_code != 503:
                    raise diagnosis.unexpected_status(self._endpoint.name, response)
                late = diagnosis.not_ready(self._endpoint.name, response)
            except diagnosis.Unreachable as error:
                late = error
            if time.monotonic() >= end:
                raise late
            time.sleep(_READY_INTERVAL_SEC)

    def _version(self) -> dict[str, Any]:
        response = self._request("GET", "/version")
        if response.status_code != 200:
            raise self._other(f"/version answers {response.status_code}")
        version = self._parsed(response)
        if not isinstance(version.get("model"), dict) or "version" not in version:
            raise self._other(f"/version says {json.dumps(version)[:100]}")
        return version

    def _parsed(self, response: requests.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._other(f"{urlsplit(response.url).path} answers {response.text[:60]!r}")
        return document

    def _other(self, why: str) -> LoadTestError:
        return diagnosis.another_service(self._endpoint.name, why)

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._http.request(
                method, self._endpoint.url + path, timeout=_TIMEOUT_SEC, allow_redirects=False, **options
            )
        except requests.RequestException as error:
            raise diagnosis.no_answer(self._endpoint.name, error) from error
