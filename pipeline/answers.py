"""Known answers, asked from outside: `python -m pipeline.answers URL`.

Asks a running service for the sample pictures of the image under test (`.pipeline`, left by the step `start`) and
compares with what was recorded when the model was built. Used on the candidate before it is pushed and on the fleet
through its balancer.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from pipeline.errors import Stop, main, say

LEFT = Path(".pipeline")
# Of the recorded probability, by precision: those of the service's own test (a test compares them).
TOLERANCE = {"fp32": 0.02, "int8": 0.25}
_TIMEOUT_SEC = 30


def ask(url: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, str], Any]:
    """Ask a service once; returns status, headers in lower case and the answer's JSON, None where it is none.

    Raises:
        OSError: nobody answers.
    """
    request = urllib.request.Request(url.rstrip("/") + path, body)  # noqa: S310  # the address is ours
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SEC) as response:  # noqa: S310
            status, headers, data = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        status, headers, data = error.code, error.headers, error.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    return status, {name.lower(): value for name, value in headers.items()}, document


def check(url: str, commit: str = "") -> int:
    """Compare every known answer; returns how many there were.

    Raises:
        Stop: an answer is wrong or missing, or another commit answers.
    """
    manifest = json.loads((LEFT / "manifest.json").read_text("utf-8"))
    version = _json(url, "/version")
    if commit and version["commit"] != commit:
        raise Stop(f"{url} runs commit {version['commit']}, not {commit}: something else answers there.")
    precision = version["model"]["precision"]
    for sample in manifest["samples"]:
        _compare(url, sample["file"], sample["answers"][precision], TOLERANCE[precision])
    status, _, problem = ask(url, "/predict", b"no picture")
    if status != 415 or not problem.get("detail"):
        raise Stop(f"{url} answers {status} to what is no picture, where 415 with a reason is expected.")
    return len(manifest["samples"])


def _json(url: str, path: str, body: bytes | None = None) -> Any:
    try:
        status, _, document = ask(url, path, body)
    except OSError as error:
        raise Stop(f"{url}{path} does not answer ({error}).") from error
    if status != 200 or document is None:
        raise Stop(f"{url}{path} answers {status}: {(document or {}).get('detail', 'no reason given')}")
    return document


def _compare(url: str, file: str, recorded: list[tuple[int, float]], tolerance: float) -> None:
    answer = _json(url, f"/predict?top_k={len(recorded)}", (LEFT / file).read_bytes())
    found = {item["index"]: item["probability"] for item in answer["predictions"]}
    index, probability = recorded[0]
    if not abs(found.get(index, 0.0) - probability) <= tolerance * probability:
        raise Stop(
            f"the known answer for {file} is wrong: class {index} has probability {found.get(index, 0.0):.4f}, and "
            f"{probability:.4f} was recorded. The model or its engine computes wrongly there: build the model again."
        )


def wait_for(url: str, limit_sec: float, pause_sec: float = 5.0) -> None:
    """Wait until a service is ready, as whoever it admits sees it.

    Raises:
        Stop: it is not, within `limit_sec`.
    """
    end = time.monotonic() + limit_sec
    while True:
        try:
            status, _, document = ask(url, "/readyz")
            reason = f"answers {status}"
            if status == 200:
                return
            if document:
                reason += f": {document.get('detail', '')}"
        except OSError as error:
            reason = f"does not answer ({error})"
        if time.monotonic() >= end:
            raise Stop(f"{url} {reason}, {limit_sec:.0f} s long.")
        time.sleep(pause_sec)


def _step() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else (LEFT / "url").read_text().strip()
    try:
        count = check(url, os.environ.get("COMMIT", ""))
    except Stop as reason:
        raise Stop(f"{str(reason).rstrip('.')}. Nothing was pushed or changed.") from reason
    say(f"answers: {count} of {count} known answers are right at {url}")


if __name__ == "__main__":
    main(_step)
