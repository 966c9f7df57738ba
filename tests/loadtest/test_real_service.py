"""Runs against a real service that misses its targets, is too small, or dies: what ends red, and where it is said."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtest.judge.results import generator_was_late
from loadtest.judge.targets import LATE_GENERATOR
from service.model.bundle import Bundle
from tests.conftest import encode, photo
from tests.loadtest.runs import LENIENT, command, results, start, targets
from tests.server import Server, running

pytestmark = pytest.mark.slow


def test_an_impossible_target_ends_with_1_and_every_breach_is_in_every_report(service: Server, tmp_path: Path) -> None:
    impossible = (
        'error_ratio = "<= 0"\ngoodput_per_sec = ">= 5000"\n[smoke.small]\np50_ms = "< 0.1"\np99_ms = "< 0.1"\n'
    )
    file = targets(tmp_path, smoke=impossible)
    load = ("--mix", "small", "--rate", 50, "--seconds", 0.8)
    where = ("--host", f"http://127.0.0.1:{service.port}", "--targets", file, "--output", tmp_path)
    ended = command("run", *load, *where)
    assert ended.code == 1
    assert ended.said.startswith("3 OF 4 TARGETS ARE MISSED")
    missed = [line.split("MISSED  ")[1] for line in ended.said.splitlines() if "  MISSED  " in line]
    assert len(missed) == 3
    assert missed[0] == "goodput a second: 50/s, target >= 5000/s"
    late = generator_was_late(results(tmp_path)["conditions"]["generator"])  # on a busy machine; then it is said
    why = f" ({LATE_GENERATOR})" if late else ""
    assert re.fullmatch(r"p50 of small JPEG: [\d.]+ ms, target < 0.1 ms" + re.escape(why), missed[1])
    assert missed[2].endswith("target < 0.1 ms (40 classified pictures are too few to know it: it takes 299)")
    cases = ET.parse(tmp_path / "junit.xml").findall("testsuite/testcase/failure")  # noqa: S314  # written here
    assert [case.get("message") for case in cases] == missed
    assert [v["text"] for v in results(tmp_path)["verdicts"] if not v["met"]] == missed
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count(">MISSED<") == 3


def test_refusals_are_counted_apart_from_failures(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A server that takes four at a time gets a crowd of large PNGs; with --no-retries nobody comes back."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "large.png").write_bytes(encode(photo().resize((2400, 1600)), "PNG", compress_level=1))
    file = targets(tmp_path, steady='error_ratio = "<= 0"\nrefused_ratio = "<= 0.01"\n')
    with running(tmp_path, MODEL_DIR=tiny_bundle.path, THREADS=1, QUEUE_SIZE=2) as server:
        url = f"http://127.0.0.1:{server.port}"
        load = ("--no-charts", "--scenario", "steady", "--rate", 100, "--seconds", 0.8, "--warm-up", 0, "--no-retries")
        folders = ("--pictures", tmp_path / "pictures", "--mix", "png", "--targets", file, "--output", tmp_path)
        ended = command("run", "--host", url, *load, *folders)
    assert ended.code == 1, ended.complained
    everything = results(tmp_path)["figures"]["all"]
    assert everything["offered"] == everything["sent"] == 80
    assert everything["failed"] == 0
    assert everything["refused"] > 5
    assert everything["good"] + everything["refused"] == 80
    assert [error["reason"] for error in results(tmp_path)["errors"]] == ["429 overloaded"]


def test_a_service_that_dies_on_the_way_is_red(tiny_bundle: Bundle, tmp_path: Path) -> None:
    file = targets(tmp_path, steady=LENIENT)
    with running(tmp_path, MODEL_DIR=tiny_bundle.path) as server:
        load = ("--no-charts", "--scenario", "steady", "--warm-up", 0, "--mix", "small", "--rate", 15, "--seconds", 2)
        where = ("--host", f"http://127.0.0.1:{server.port}", "--targets", file, "--output", tmp_path)
        process = start("run", *load, *where)
        while server.log.read_text("utf-8").count('"path": "/predict"') < 10:
            time.sleep(0.02)
        os.killpg(server.process.pid, signal.SIGKILL)
        ended = process.wait()
    assert ended.code == 1, ended.complained
    everything = results(tmp_path)["figures"]["all"]
    assert everything["offered"] == 30
    assert everything["failed"] >= 10
    assert "connection refused" in {error["reason"] for error in results(tmp_path)["errors"]}
