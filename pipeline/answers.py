"""Known answers, asked from outside: `python -m pipeline.answers URL`.

Asks a running service for the sample pictures of the image under test (`.pipeline`, left by the step `start`) and
compares with what was recorded when the model was built. Used on the candidate before it is pushed and on the fleet
through its balancer.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import settings
from pipeline.errors import StepFailed, log, main

# What one step leaves for the next lies here.
ARTIFACTS = Path(".pipeline")
MANIFEST = ARTIFACTS / "manifest.json"
# Of the recorded probability, by precision, for an image whose manifest does not say: one of a commit before
# 2026-11-27, to which a rollback may go.
_EARLIER_TOLERANCE = {"fp32": 0.02, "int8": 0.25}
_TIMEOUT_SEC = 30


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes:
        url: its address as people type it.
        address: where to connect instead of asking for the name's address, which DNS may not know yet and which may be
            one of IPv6; the name is sent all the same, in TLS too.
    """

    url: str
    address: str = ""

    def request(self, path: str, body: bytes | None = None) -> tuple[int, dict[str, str], Any]:
        """Ask once; returns status, headers in lower case and the answer's JSON, None where it is none.

        Raises:
            OSError: nobody answers; ssl.SSLError where the certificate does not fit the name.
        """
        connection = self._connection()
        try:
            connection.request("GET" if body is None else "POST", path, body)
            response = connection.getresponse()
            data = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        try:
            document = json.loads(data)
        except ValueError:
            document = None
        return response.status, {name.lower(): value for name, value in response.getheaders()}, document

    def _connection(self) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return _Https(host, parts.port or 443, self.address or host)
        return _Http(host, parts.port or 80, self.address or host)


class _Http(http.client.HTTPConnection):
    """A connection to an address of one's own choice."""

    def __init__(self, host: str, port: int, address: str) -> None:
        super().__init__(host, port, timeout=_TIMEOUT_SEC)
        self._address = address

    def connect(self) -> None:
        """Connect to the address; the host goes into the request."""
        self.sock = socket.create_connection((self._address, self.port), self.timeout)


class _Https(_Http):
    """The same, encrypted, with the host's name in the handshake."""

    default_port = 443

    def connect(self) -> None:
        """Connect to the address, and have it prove that it is the host."""
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def check(service: Service, commit: str = "") -> int:
    """Compare every known answer; returns how many there were.

    Raises:
        StepFailed: an answer is wrong or missing, or another commit answers.
    """
    try:
        manifest = json.loads(MANIFEST.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StepFailed(f"the image's known answers cannot be read ({error}): run the step `start` first.") from error
    version = _json(service, "/version")
    if commit and version["commit"] != commit:
        raise StepFailed(f"{service.url} runs commit {version['commit']}, not {commit}: something else answers there.")
    precision = version["model"]["precision"]
    tolerance = manifest.get("tolerance", _EARLIER_TOLERANCE)[precision]
    for sample in manifest["samples"]:
        _compare(service, sample["file"], sample["answers"][precision], tolerance)
    status, _, problem = service.request("/predict", b"no picture")
    if status != 415 or not (problem or {}).get("detail"):
        raise StepFailed(f"{service.url} answers {status} to what is no picture, where 415 with a reason is expected.")
    return len(manifest["samples"])


def _json(service: Service, path: str, body: bytes | None = None) -> Any:
    try:
        status, _, document = service.request(path, body)
    except OSError as error:
        raise StepFailed(f"{service.url.rstrip('/')}{path} does not answer ({error}).") from error
    if status != 200 or document is None:
        raise StepFailed(
            f"{service.url.rstrip('/')}{path} answers {status}: {(document or {}).get('detail', 'no reason given')}"
        )
    return document


def _compare(service: Service, file: str, recorded: list[tuple[int, float]], tolerance: float) -> None:
    answer = _json(service, f"/predict?top_k={len(recorded)}", (ARTIFACTS / file).read_bytes())
    given = {item["index"]: item["probability"] for item in answer["predictions"]}
    index, probability = recorded[0]
    if not abs(given.get(index, 0.0) - probability) <= tolerance * probability:
        raise StepFailed(
            f"the known answer for {file} is wrong: class {index} has probability {given.get(index, 0.0):.4f}, and "
            f"{probability:.4f} was recorded. The model or its engine computes wrongly there: build the model again."
        )


def wait_for(
    service: Service,
    limit_sec: float,
    pause_sec: float = 5.0,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until a service is ready, as whoever it admits sees it.

    Raises:
        StepFailed: it is not, within `limit_sec`.
    """
    end = clock() + limit_sec
    while True:
        try:
            status, _, document = service.request("/readyz")
            reason = f"answers {status}"
            if status == 200:
                return
            if document:
                reason += f": {document.get('detail', '')}"
        except OSError as error:
            reason = f"does not answer ({error})"
        if clock() >= end:
            raise StepFailed(f"{service.url} {reason}, {limit_sec:.0f} s long.")
        pause(pause_sec)


def _step() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else (ARTIFACTS / "url").read_text().strip()
    try:
        count = check(Service(url), settings.read().commit)
    except StepFailed as reason:
        raise StepFailed(f"{str(reason).rstrip('.')}. Nothing was pushed or changed.") from reason
    log(f"answers: {count} of {count} known answers are right at {url}")


if __name__ == "__main__":
    main(_step)
