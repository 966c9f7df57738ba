"""Nothing is alive and never ready: what forbids, breaks or ends the opening of a model; and signals to the parent."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from service.model.bundle import Bundle
from tests import sandbox
from tests.conftest import REPOSITORY
from tests.server import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the sandbox knows the system calls of x86-64"),
]

CLONE3 = 435  # starts threads; processes are started by another call


@pytest.mark.parametrize("calls", [sandbox.SETPRIORITY, sandbox.RESOURCES, sandbox.EVEN_TO_ASK])
def test_what_is_only_nice_to_have_may_be_forbidden(calls: dict[str, int], tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Niceness, affinity, limits: the service is ready, answers, and says once what it goes without."""
    with running(tmp_path, sandbox=sandbox.forbidding(calls.values()), MODEL_DIR=tiny_bundle.path) as server:
        for name in ("red", "green", "blue"):
            answer = server.request("POST", "/predict", (tiny_bundle.path / "samples" / f"{name}.png").read_bytes())
            assert answer.json()["predictions"][0]["label"] == name
        (warning,) = [line["message"] for line in server.lines() if line["severity"] not in ("DEBUG", "INFO")]
        assert "keep the usual priority (setpriority: Operation not permitted)" in warning


# What an engine's library may do while it is imported -> what the log must say.
FATAL = {
    "import os; os.abort()": "was sent SIGABRT",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "was sent SIGKILL",
    "raise SystemExit(5)": "SystemExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise MemoryError": "MemoryError",
    'raise RuntimeError("can\'t start new thread")': "can't start new thread",
    "raise OSError(24, 'Too many open files')": "Too many open files",
}


@pytest.mark.parametrize("code", FATAL)
def test_where_only_a_new_process_may_help_the_server_ends(code: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text(code)
    path = f"{tmp_path}:{REPOSITORY}"
    with running(tmp_path, wait=False, MODEL_DIR=tiny_bundle.path, PYTHONPATH=path) as server:
        assert server.process.wait(timeout=30) == 3
        lines = server.lines()
    assert FATAL[code] in "".join(f"{line['message']} {line.get('exc_info')}" for line in lines)
    assert len([line for line in lines if line["message"].startswith("Booting worker")]) == 1


def test_who_was_never_ready_ends_without_draining(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """No balancer looks here yet, and a rollout that is taken back waits for this."""
    (tmp_path / "openvino.py").write_text("import time; time.sleep(60)")
    path = f"{tmp_path}{os.pathsep}{REPOSITORY}"
    with running(tmp_path, wait=False, PYTHONPATH=path, MODEL_DIR=tiny_bundle.path, DRAIN_SEC=10) as server:
        while not any("Booting worker" in line["message"] for line in server.lines()):
            time.sleep(0.05)
        time.sleep(1)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5


def test_a_server_that_may_start_no_thread_ends(tiny_bundle: Bundle, tmp_path: Path) -> None:
    forbidden = sandbox.forbidding([CLONE3], error=11)
    with running(tmp_path, wait=False, sandbox=forbidden, MODEL_DIR=tiny_bundle.path) as server:
        assert server.process.wait(timeout=30) == 3
        (said,) = (tmp_path / f"server-{server.port}.err").read_text().splitlines()
        assert said.startswith("Error: no thread can be started: raise the limit of processes")


@pytest.mark.parametrize(
    "send",
    [os.kill, os.killpg],
    ids=["parent", "group"],
)
def test_no_signal_of_gunicorns_costs_a_request(
    send: Callable[[int, int], None], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """Reload, more workers, another parent: refused in the log, while clients are answered and one worker serves."""
    picture = (tiny_bundle.path / "samples" / "green.png").read_bytes()
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, THREADS=1) as server:
        statuses: list[int] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                statuses.append(server.request("POST", "/predict", picture).status)

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        workers = psutil.Process(server.process.pid).children()
        for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2, signal.SIGHUP):
            send(server.process.pid, number)
            done.wait(0.2)
        done.set()
        for client in clients:
            client.join()
        assert psutil.Process(server.process.pid).children() == workers
        assert len(statuses) > 100
        assert set(statuses) == {200}
        warned = [line["message"] for line in server.lines() if line["severity"] == "WARNING"]
        assert [warning.split()[0] for warning in warned] == ["SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR2", "SIGHUP"]
        assert server.stop() == 0


def test_a_worker_that_dies_after_its_model_was_open_is_replaced(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, THREADS=1) as server:
        (worker,) = psutil.Process(server.process.pid).children()
        worker.kill()
        worker.wait(10)
        server.wait_until_ready()
        assert server.process.poll() is None
