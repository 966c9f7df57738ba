"""Who takes part in a benchmark, what one whole run measures and writes, and that nobody is left running."""

from __future__ import annotations

import gc
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PIL import Image

from loadtest.bench import command, memory_growth, report
from loadtest.bench.contenders import _PEERS, OURS, OURS_FP32, PLAIN, Contender, contenders
from loadtest.bench.goals import check
from loadtest.bench.run import Schedule, run, start
from loadtest.bench.servers import Server
from service.model.bundle import Bundle

BROKEN = Contender("broken int8", [sys.executable, "-c", "raise SystemExit(1)"], ready_path=None, needs="a peer")
FAKE = Contender("fake", [sys.executable, "-m", "tests.loadtest.bench.fake_server", "{port}"])
SHORT = Schedule(rounds=2, starts=2, clients=(1, 16), round_sec=0.05, warm_up_sec=0.05, overload_sec=0.1)


def running() -> set[int]:
    """The processes that this one has started and that have not ended."""
    return {item.pid for item in psutil.Process().children() if item.status() != psutil.STATUS_ZOMBIE}


@pytest.fixture(autouse=True)
def few_objects() -> Iterator[None]:
    """Leave what is loaded out of the collections that begin every loop, or PyTorch's objects take 0.2 s of each."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.stop()


def test_a_whole_run_measures_everyone_and_everything(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """All its code with servers that cost nothing: each figure of the table, each goal, and the files."""
    selected = [replace(FAKE, name=name, colour="#188038") for name in (PLAIN, OURS, OURS_FP32)]
    said: list[str] = []
    before = running()
    result = run(tiny_bundle.path, SHORT, said.append, [*selected, BROKEN], photograph_size=(1200, 900))
    assert running() == before
    names = [PLAIN, OURS, OURS_FP32]
    assert [*result["start_sec"]] == [*result["memory_mb"]] == names
    assert all(value > 0 for value in (*result["start_sec"].values(), *result["memory_mb"].values()))
    for name in names:
        assert {*result["rates"][name]} == {"small 1", "small 16", "large 1", "png 1"}
        assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in result["rates"][name].values())
    assert {"loop int8", "engine int8", "loop fp32", "engine fp32"} <= result["rates"].keys()
    assert result["overload"]["other"] == {}
    assert result["overload"]["workers_kept"]
    assert result["decoding"]["difference"] < 1
    assert "Left out: broken int8 ended with 1 before it was ready" in said

    command.save(result, tmp_path)
    saved = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert [goal["name"] for goal in saved["goals"]] == [goal.name for goal in check(result)]
    with Image.open(tmp_path / "bench.png") as plot:
        assert plot.format == "PNG"
    text = report.table(result)
    assert text.count("met   ") + text.count("MISSED") == len(saved["goals"])
    assert (tmp_path / "bench.html").read_text("utf-8").startswith("<!doctype html>")


def test_memory_is_measured_along_many_requests(servers: list[Server]) -> None:
    servers.append(Server(FAKE))
    servers[0].wait_until_ready(b"")
    said: list[str] = []
    result = memory_growth.measure(servers[0], 90, said.append, warm_up=50, slice_sec=0.02)
    assert result["requests"] >= 90
    assert set(result["statuses"]) == {"200"}
    assert len(result["along_mb"]) == len(said) == 20
    assert result["first_mb"] > 0


def test_a_peer_that_does_not_start_is_left_out_and_the_others_are_measured(
    tiny_bundle: Bundle, jpeg: bytes, servers: list[Server]
) -> None:
    """With the real service: its command line, its readiness, its end."""
    ours = next(item for item in contenders(tiny_bundle.path) if item.name == OURS)
    said: list[str] = []
    before = running()  # what other tests share: their server, their browser
    seconds = start([BROKEN, ours], jpeg, servers, said.append, SHORT)
    assert set(seconds) == {OURS}
    assert [server.name for server in servers] == [OURS]
    assert any(line.startswith("Left out: broken int8 ended with 1") for line in said)
    # Each start but the last was ended again.
    assert running() - before == {servers[0].pids()[0]}
    assert servers[0].get("/readyz")[0] == 200
    model = servers[0].model()
    assert model
    assert model["precision"] == "int8"


def test_one_of_ours_that_does_not_start_ends_the_benchmark(jpeg: bytes, servers: list[Server]) -> None:
    with pytest.raises(RuntimeError, match="broken int8 ended with 1 before it was ready"):
        start([replace(BROKEN, needs=None)], jpeg, servers, lambda _: None, SHORT)
    assert servers == []


@pytest.mark.parametrize("installed", [True, False])
def test_only_installed_peers_take_part(installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object() if installed else None)
    peers = {item.needs for item in contenders(tmp_path)} - {None}
    assert peers == ({peer.package for peer in _PEERS.values()} if installed else set())


def test_where_the_untrained_model_cannot_be_built_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # a build that fails, without PyTorch
    said: list[str] = []
    with pytest.raises(RuntimeError, match="cannot be built"):
        command.untrained(said.append, tmp_path / "model")
    assert said == [f"Building {tmp_path / 'model'}"]
