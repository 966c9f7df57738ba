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

from loadtest.bench import __main__ as command
from loadtest.bench import memory_growth, report
from loadtest.bench.contenders import _PEERS, LITE0, OURS, OURS_FP32, PLAIN, Contender, contenders
from loadtest.bench.goals import GOALS
from loadtest.bench.run import Schedule, run
from loadtest.bench.started import Running, start
from loadtest.errors import LoadTestError
from service.model.bundle import Bundle
from tests.conftest import encode

BROKEN = Contender("broken int8", [sys.executable, "-c", "raise SystemExit(1)"], ready_path=None, needs="a peer")
FAKE = Contender("fake", [sys.executable, "-m", "tests.loadtest.bench.fake_server", "{port}"])
SHORT = Schedule(rounds=2, starts=2, clients=(1, 16), round_sec=0.05, warm_up_sec=0.05, overload_sec=0.1)

pytestmark = pytest.mark.slow


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
def servers() -> Iterator[list[Running]]:
    started: list[Running] = []
    yield started
    for item in started:
        item.server.stop()


def test_a_whole_run_measures_everyone_and_everything(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """All its code with servers that cost nothing: each figure of the table, each goal, and the files."""
    names = [OURS, OURS_FP32, LITE0, PLAIN]
    selected = [replace(FAKE, name=name, colour="#188038") for name in names]
    picture = Image.radial_gradient("L").convert("RGB")
    sent = {"small": encode(picture), "large": encode(picture.resize((1200, 900))), "png": encode(picture, "PNG")}
    said: list[str] = []
    before = running()
    result = run(tiny_bundle.path, [*selected, BROKEN], SHORT, said.append, sent)
    assert running() == before
    measured = result["measured"]
    assert [*measured] == [*names, "loop int8", "engine int8", "loop fp32", "engine fp32"]
    for name, row in measured.items():
        served = name in names
        assert {*row["cases"]} == ({"small 1", "small 16", "large 1", "png 1"} if served else {"small 16"})
        assert all(len(case["per_sec"]) == 2 and min(case["per_sec"]) > 0 for case in row["cases"].values())
        assert row["model"] == ({"engine": "none"} if served else None)
        assert bool(row["start_sec"] and row["memory_mb"]) is served
    assert result["overload"]["lost"] == {}
    assert result["overload"]["workers_kept"]
    assert result["decoding"]["difference"] < 1
    assert "Left out: broken int8 did not start: it ended with 1" in said

    report.save(result, tmp_path)
    assert json.loads((tmp_path / report.JSON).read_text("utf-8")) == result
    assert [goal["name"] for goal in result["goals"]] == [name for name, *_ in GOALS]
    with Image.open(tmp_path / report.PNG) as plot:
        assert plot.format == "PNG"
    text = report.table(result)
    assert text.count("\nmet   ") + text.count("\nMISSED ") == len(GOALS)
    assert (tmp_path / report.HTML).read_text("utf-8").startswith("<!doctype html>")


def test_memory_is_measured_along_many_requests(servers: list[Running]) -> None:
    servers.append(Running(FAKE))
    servers[0].wait_until_ready(b"")
    said: list[str] = []
    result = memory_growth.measure(
        servers[0], encode(Image.radial_gradient("L")), 90, said.append, warm_up=50, sec=0.02
    )
    assert result["requests"] >= 90
    assert set(result["statuses"]) == {"200"}
    assert len(result["along_mb"]) == len(said) == 20
    assert result["first_mb"] > 0


def test_a_peer_that_does_not_start_is_left_out_and_the_others_are_measured(
    tiny_bundle: Bundle, jpeg: bytes, servers: list[Running]
) -> None:
    """With the real service: its command line, its readiness, its end."""
    ours = next(item for item in contenders(tiny_bundle.path) if item.name == OURS)
    said: list[str] = []
    before = running()  # what other tests share: their server, their browser
    seconds = start([BROKEN, ours], jpeg, servers, said.append, 2, 0.05)
    assert set(seconds) == {OURS}
    assert [item.contender.name for item in servers] == [OURS]
    assert any(line.startswith("Left out: broken int8 did not start") for line in said)
    # Each start but the last was ended again.
    assert running() - before == {servers[0].server.pids()[0]}
    assert servers[0].server.get("/readyz")[0] == 200
    model = seconds[OURS]["model"]
    assert model
    assert model["precision"] == "int8"


def test_one_of_ours_that_does_not_start_ends_the_benchmark(jpeg: bytes, servers: list[Running]) -> None:
    with pytest.raises(LoadTestError, match="broken int8 did not start: it ended with 1"):
        start([replace(BROKEN, needs=None)], jpeg, servers, lambda _: None, 1, 0.05)
    assert servers == []


@pytest.mark.parametrize("installed", [True, False])
def test_only_installed_peers_take_part(installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object() if installed else None)
    peers = {item.needs for item in contenders(tmp_path)} - {None}
    assert peers == ({package for _, package, *_ in _PEERS} if installed else set())


def test_a_network_that_cannot_be_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # a build that fails, without PyTorch
    monkeypatch.setattr(command, "MODELS", tmp_path)
    with pytest.raises(LoadTestError, match="untrained cannot be built"):
        command._built("untrained")
