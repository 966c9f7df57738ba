"""Who takes part in a benchmark, and that nobody is left running."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from service.bench.run import OURS, STARTS, start
from service.bench.servers import Contender, Server, contenders
from service.bundle import Bundle

BROKEN = Contender("broken int8", [sys.executable, "-c", "raise SystemExit(1)"], ready_path=None, needs="a peer")


def running() -> set[int]:
    """The processes that this one has started and that have not ended."""
    return {item.pid for item in psutil.Process().children() if item.status() != psutil.STATUS_ZOMBIE}


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    found: list[Server] = []
    yield found
    for server in found:
        server.stop()


def test_a_peer_that_does_not_start_is_left_out_and_the_others_are_measured(
    digits_bundle: Bundle, jpeg: bytes, servers: list[Server]
) -> None:
    ours = next(item for item in contenders(digits_bundle.path) if item.name == OURS)
    said: list[str] = []
    before = running()  # what other tests share: their server, their browser
    seconds = start([BROKEN, ours], jpeg, servers, said.append)
    assert set(seconds) == {OURS}
    assert [server.name for server in servers] == [OURS]
    assert any(line.startswith("Left out: broken int8 ended with 1") for line in said)
    # Each start but the last was ended again.
    assert running() - before == {servers[0].pids()[0]}
    assert servers[0].get("/readyz")[0] == 200
    assert STARTS > 1


def test_one_of_ours_that_does_not_start_ends_the_benchmark(jpeg: bytes, servers: list[Server]) -> None:
    with pytest.raises(RuntimeError, match="broken int8 ended with 1 before it was ready"):
        start([replace(BROKEN, needs=None)], jpeg, servers, lambda _: None)
    assert servers == []


def test_only_installed_peers_take_part(tmp_path: Path) -> None:
    assert all(item.needs is None for item in contenders(tmp_path))
