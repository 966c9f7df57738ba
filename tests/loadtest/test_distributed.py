"""Several processes send one plan: together what one would, and what a lost one did not send is known."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import encode, photo
from tests.loadtest.runs import LENIENT, command, requests, results, small_pictures, start, targets, wait
from tests.loadtest.scripted import serving
from tests.server import Server, free_port


@contextlib.contextmanager
def two_workers(url: str, port: int, *options: object) -> Iterator[list[subprocess.Popen[str]]]:
    workers = [start("worker", "--host", url, "--port", port, *options) for _ in range(2)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.slow
def test_two_workers_send_together_what_one_process_would(service: Server, tmp_path: Path) -> None:
    pictures = small_pictures(tmp_path)
    (pictures / "phone.jpg").write_bytes(encode(photo().resize((2400, 1600))))
    (pictures / "screen.png").write_bytes(encode(photo(), "PNG"))
    url, port = f"http://127.0.0.1:{service.port}", free_port()
    file = targets(tmp_path, smoke=LENIENT)
    load = ("--rate", 40, "--seconds", 2.5, "--pictures", pictures, "--targets", file, "--output", tmp_path)
    with two_workers(url, port, "--pictures", pictures) as workers:
        ended = command("run", "--host", url, "--workers", 2, "--port", port, *load)
        ends = [wait(worker, 20) for worker in workers]
    assert ended.code == 0, ended.complained
    assert [end.code for end in ends] == [0, 0], ends
    result = results(tmp_path)
    assert result["conditions"]["generator"]["processes"] == 2
    counts = {request_kind: metrics["good"] for request_kind, metrics in result["figures"]["kinds"].items()}
    assert counts == {"small": 68, "phone": 12, "png": 8, "several": 8, "bad": 4}
    due = [float(row["due_sec"]) for row in requests(tmp_path)]
    assert due == pytest.approx([n / 40 for n in range(100)])


@pytest.mark.slow
def test_what_a_lost_worker_did_not_send_counts_as_failed(tmp_path: Path) -> None:
    """The run goes on until Locust has noticed, and starts its user on the other worker."""
    with serving() as server:
        port = free_port()
        file = targets(tmp_path, smoke=LENIENT)
        load = ("--mix", "small", "--rate", 20, "--seconds", 6, "--targets", file, "--output", tmp_path)
        with two_workers(server.url, port, "--pictures", small_pictures(tmp_path)) as workers:
            master = start("run", "--host", server.url, "--workers", 2, "--port", port, *load)
            while len(server.seen) < 20:
                time.sleep(0.02)
            workers[0].kill()
            ended = wait(master)
            for worker in workers:
                wait(worker, 20)
    assert ended.code == 1, ended.complained
    result = results(tmp_path)
    assert result["figures"]["all"]["offered"] == 120
    assert result["errors"][0]["reason"] == "never answered: its worker was lost"
    assert 20 < result["errors"][0]["count"] <= 60  # no more than its share, and nothing was sent twice
    assert len(server.seen) <= 121
