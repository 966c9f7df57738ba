"""The service of this checkout as a process of its own for one test: started, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from loadtest.errors import LoadTestError

_START_LIMIT_SEC = 60.0
_STOP_LIMIT_SEC = 20.0
_LAST_LINES = 3


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run `python -m service serve` on a free port; yields its address. Its log goes to `folder`.

    It is listening, which is less than ready. It has a process group of its own, so that Ctrl-C reaches the test alone,
    which then ends it in order.

    Raises:
        LoadTestError: it ended, or does not listen within a minute; with what it said last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    log = folder / "service.log"
    environment = {"DRAIN_SEC": "0", **os.environ, "HOST": "127.0.0.1", "PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START_LIMIT_SEC
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    said = " ".join(log.read_text("utf-8").splitlines()[-_LAST_LINES:])
    raise LoadTestError(f"The service did not start: {said or f'it is silent after {_START_LIMIT_SEC:.0f} s'}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the service and its workers: politely, then at once."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_LIMIT_SEC)
            return
