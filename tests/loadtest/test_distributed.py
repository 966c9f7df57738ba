"""Several processes send one plan, by Locust's own flags: together what one would, and what is lost is known."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import encode, photo
from tests.loadtest.runs import LENIENT, Running, command, requests, results, small_pictures, start, targets
from tests.loadtest.scripted import serving
from tests.server import Server, free_port

pytestmark = pytest.mark.slow

LOCUSTFILE = ("-f", "loadtest/locustfile.py")


def processes(count: int) -> tuple[object, ...]:
    """Return Locust's flags for so many workers on this machine, on a port that no other test has."""
    port = free_port()
    return ("--processes", count, "--master-bind-port", port, "--master-port", port)


@contextlib.contextmanager
def started(*processes: Running) -> Iterator[tuple[Running, ...]]:
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def test_two_processes_send_together_what_one_would(service: Server, tmp_path: Path) -> None:
    """--processes; every kind in its exact share, each request once and when it is due."""
    pictures = small_pictures(tmp_path)
    (pictures / "phone.jpg").write_bytes(encode(photo().resize((2400, 1600))))
    (pictures / "screen.png").write_bytes(encode(photo(), "PNG"))
    file = targets(tmp_path, smoke=LENIENT)
    load = ("--rate", 40, "--seconds", 2.5, "--pictures", pictures, "--targets", file, "--output", tmp_path)
    ended = command("run", "--host", f"http://127.0.0.1:{service.port}", *processes(2), *load)
    assert ended.code == 0, ended.complained
    result = results(tmp_path)
    assert result["conditions"]["generator"]["processes"] == 2
    counts = {request_kind: metrics["good"] for request_kind, metrics in result["figures"]["kinds"].items()}
    assert counts == {"small": 68, "phone": 12, "png": 8, "several": 8, "bad": 4}
    due = [float(row["due_sec"]) for row in requests(tmp_path)]
    assert due == pytest.approx([n / 40 for n in range(100)])


def test_a_worker_that_dies_is_named_and_what_it_did_not_send_counts_as_failed(tmp_path: Path) -> None:
    """A master and two workers by Locust's flags and variables; the others' share is sent to the end."""
    port, pictures = free_port(), small_pictures(tmp_path)
    file = targets(tmp_path, smoke=LENIENT)
    with serving() as server:
        load = ("--mix", "small", "--rate", 20, "--seconds", 6, "--targets", file, "--report", tmp_path, "--no-charts")
        variables = {"LOCUST_MODE_WORKER": "true", "LOCUST_MASTER_NODE_PORT": port, "LOCUST_PICTURES": pictures}
        workers = [start(*LOCUSTFILE, program="locust", settings=variables) for _ in range(2)]
        master_port = ("--master-bind-port", port, "--expect-workers", 2)
        master = start(
            *LOCUSTFILE, "--headless", "--host", server.url, "--master", *master_port, *load, program="locust"
        )
        with started(master, *workers):
            while len(server.seen) < 20:
                assert master.poll() is None, master.complained()
                time.sleep(0.02)
            workers[0].send(signal.SIGKILL)
            ended, other = master.wait(), workers[1].wait(20)
    assert ended.code == 1, ended.complained
    assert other.code == 0, other.complained
    result = results(tmp_path)
    assert result["figures"]["all"]["offered"] == 120
    assert result["errors"][0]["reason"] == "never answered: its worker was lost"
    assert 20 < result["errors"][0]["count"] <= 60  # no more than its share, and nothing was sent twice
    assert len(server.seen) <= 121
    assert "Note: A worker of the load test was lost:" in ended.said


def test_an_interruption_of_several_processes_reports_what_they_sent(tmp_path: Path) -> None:
    with serving() as server:
        load = ("--mix", "small", "--rate", 40, "--seconds", 60, "--output", tmp_path, "--no-charts")
        options = (*processes(2), "--pictures", small_pictures(tmp_path))
        process = start("run", "--host", server.url, *load, *options)
        with started(process):
            while len(server.seen) < 40:
                assert process.poll() is None, process.complained()
                time.sleep(0.02)
            process.send(signal.SIGINT, group=True)
            ended = process.wait(40)
        sent = len(server.seen) - 1
    assert ended.code == 130, ended.complained
    assert "Traceback" not in ended.complained
    assert sent - 10 <= results(tmp_path)["figures"]["all"]["good"] <= sent
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_worker_that_cannot_send_ends_the_test_with_one_sentence(tmp_path: Path) -> None:
    port = free_port()
    with serving() as server:
        host = ("--host", server.url)
        worker = start(
            *(*LOCUSTFILE, "--worker", "--master-port", port, "--pictures", small_pictures(tmp_path)), program="locust"
        )
        load = ("--mix", "png", "--seconds", 60, "--output", tmp_path / "report")
        master = start("run", *host, *load, "--master", "--master-bind-port", port)
        with started(worker, master):
            ended, other = master.wait(), worker.wait(20)
        assert len(server.seen) == 1
    ended.refused("The worker", "cannot send: it has no pictures for png; start it with the master's options.")
    assert other.code == 0
