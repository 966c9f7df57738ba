"""Looks at the container from inside: start.sh runs it there as the server's own user, `docker exec -i NAME python3 -`.

Waits until the server is ready, which follows its known-answer test; then checks what an intruder could use.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

READY_LIMIT_SEC = 60
FINDINGS = 9  # the exit code that says: the reasons were printed
# Memory, of limited size: the only places that can be written.
WRITABLE = {"/tmp", "/dev/shm", "/dev/mqueue"}  # noqa: S108  # a name to compare with
PROGRAMS = ("sh", "bash", "dash", "apt", "apt-get", "dpkg", "pip", "perl", "curl", "wget", "gcc", "su", "mount")
MODULES = ("pip", "ensurepip", "torch", "openvino_telemetry")


def wait_until_ready(port: str) -> str:
    """Return an empty text, or why the server is not ready."""
    end = time.monotonic() + READY_LIMIT_SEC
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return ""
        except urllib.error.HTTPError as error:
            with error:  # it holds the connection
                reason = str(json.loads(error.read()).get("detail", error))
        except OSError as error:
            reason = str(error)
        # A known answer does not become right by waiting.
        if "known-answer" in reason or time.monotonic() > end:
            return f"it does not become ready: {reason}"
        time.sleep(0.1)


def openings() -> Iterator[str]:
    """Yield a sentence for everything that is more open than it should be."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    if status["Uid"].split() != ["10001"] * 4:
        yield f"it runs as user {status['Uid'].split()[0]}, not 10001"
    kept = {kind: status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb") if int(status[f"Cap{kind}"], 16)}
    if kept:
        yield f"it keeps capabilities: {kept}"
    if status["NoNewPrivs"] != "1":
        yield "it may gain privileges"
    if status["Seccomp"] != "2":
        yield "no seccomp filter is on"
    yield from (f"it can write to {folder}" for folder in sorted(set(_writable()) - WRITABLE))
    yield from (f"it holds the program {name}" for name in PROGRAMS if shutil.which(name))
    yield from (f"it holds the package {name}" for name in MODULES if find_spec(name))


def _writable() -> Iterator[str]:
    for folder, folders, _ in os.walk("/"):
        folders[:] = [] if folder in ("/proc", "/sys") else folders
        probe = Path(folder) / ".pipeline-probe"
        try:
            probe.touch()
            probe.unlink()
        except OSError:
            continue
        yield folder


def main() -> int:
    """Print what is wrong as one sentence."""
    reason = wait_until_ready(os.environ.get("PORT") or "8080")
    findings = [reason] if reason else list(openings())
    if findings:
        reasons = "; ".join(sentence.rstrip(".") for sentence in findings)
        print(f"pipeline: the image must not run: {reasons}. Nothing was pushed or changed.", file=sys.stderr)
    return FINDINGS if findings else 0


if __name__ == "__main__":
    sys.exit(main())
