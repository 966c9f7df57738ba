"""Capacity is computed in one place, for every number of processors, and the server has what it says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from service.model.bundle import Bundle
from service.model.engines.table import ENGINES
from service.serve.capacity import MOST_CONNECTIONS, SPARE_FILES, SPARE_REQUEST_THREADS, Capacity, connections
from service.serve.services import Services
from service.settings import Settings
from tests.conftest import REPOSITORY

CPUS = range(1, 385)


@pytest.mark.parametrize("queue_size", [0, 16, 1000])
def test_probes_never_wait_behind_work_whatever_the_number_of_processors(queue_size: int) -> None:
    """Every request that is let in may hold a thread; there are more."""
    for cpus in CPUS:
        capacity = Capacity(cpus, queue_size)
        assert capacity.request_threads - capacity.admitted == SPARE_REQUEST_THREADS
        assert capacity.admitted == capacity.slots + queue_size
        assert capacity.computing_threads == capacity.slots >= cpus


def test_services_have_what_capacity_says() -> None:
    settings = Settings(threads=48, queue_size=7)
    capacity = Capacity.of(settings)
    admission = Services(settings).admission
    assert (admission.slots, admission.spare, admission.capacity) == (
        capacity.slots,
        capacity.spare_slots,
        capacity.admitted,
    )


def test_gunicorn_has_what_capacity_says() -> None:
    """Its configuration is read in a process of its own: it changes that process's limit of files."""
    code = (
        "import json, runpy\n"
        "conf = runpy.run_path('service/serve/server/gunicorn_conf.py')\n"
        "print(json.dumps({name: conf[name] for name in ('bind', 'threads', 'worker_connections')}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"THREADS": "96", "QUEUE_SIZE": "9", "HOST": "::1", "PORT": "8123", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    conf = json.loads(result.stdout)
    assert conf["threads"] == Capacity(96, 9).request_threads
    assert conf["bind"] == "[::1]:8123"
    assert conf["worker_connections"] > 700


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (1024, 1_048_576, (MOST_CONNECTIONS, MOST_CONNECTIONS + SPARE_FILES)),  # Docker's and systemd's usual
        (1024, 4096, (4096 - SPARE_FILES, 4096)),
        (1024, 1024, (1024 - SPARE_FILES, 1024)),
        (1_048_576, 1_048_576, (MOST_CONNECTIONS, 1_048_576)),
        (-1, -1, (MOST_CONNECTIONS, -1)),
        (1024, -1, (MOST_CONNECTIONS, MOST_CONNECTIONS + SPARE_FILES)),
        (64, 64, (32, 64)),
    ],
)
def test_connections_fit_into_the_limit_of_files(soft: int, hard: int, expected: tuple[int, int]) -> None:
    assert connections(soft, hard) == expected


_COUNT_THREADS = """
import sys, threading
from pathlib import Path
import numpy as np
from service.model import bundle
from service.model.engines import open_engine

folder, name, cpus, callers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
there = bundle.read(folder)
pixels = np.zeros((1, there.manifest.crop, there.manifest.crop, 3), np.uint8)
begin, end = threading.Barrier(callers + 1), threading.Barrier(callers + 1)

def call():
    begin.wait()
    for exclusive in (True, False) * 3:
        engine.logits(pixels, exclusive=exclusive)
    end.wait()
    threading.Event().wait()  # it must still be there when threads are counted

def threads():
    return len(list(Path("/proc/self/task").iterdir()))

for _ in range(callers):
    threading.Thread(target=call, daemon=True).start()
before = threads()
engine = open_engine(there, name, "fp32", cpus)
begin.wait()
end.wait()
print(threads() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize("cpus", [2, 16])
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_starts_no_more_threads_than_capacity_says(name: str, cpus: int, digits_bundle: Bundle) -> None:
    """Whatever the number of callers: a container's limit of processes is a number, and one too many ends requests."""
    capacity = Capacity(cpus, 0)
    result = subprocess.run(
        [sys.executable, "-c", _COUNT_THREADS, digits_bundle.path, name, str(cpus), str(capacity.computing_threads)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        timeout=60,
    )
    assert int(result.stdout) <= capacity.engine_threads
