"""The search for the rated rate against a server whose limit is known."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.loadtest.runs import command, targets
from tests.loadtest.scripted import GOOD, Answer, problem, serving


@pytest.mark.slow
def test_the_rated_rate_is_found_and_written(tmp_path: Path) -> None:
    """Of a server that serves one at a time, 20 ms each: between a few and the fifty that it can."""
    turn = threading.Lock()

    def script(number: int) -> Answer:
        with turn:
            time.sleep(0.02)
        return GOOD

    with serving(script) as server:
        file = targets(tmp_path, rate='error_ratio = "<= 0"\n[rate.small]\np50_ms = "<= 100"\n')
        search = ("--from", 30, "--to", 100, "--repeats", 1, "--precision", 0.5, "--step-seconds", 1, "--warm-up", 0)
        load = ("--mix", "small", "--arrivals", "constant", "--targets", file, "--output", tmp_path / "rate.json")
        ended = command("rate", "--host", server.url, *search, *load)
    assert ended.code == 0, ended.complained
    saved = json.loads((tmp_path / "rate.json").read_text("utf-8"))
    assert 10 <= saved["rated_per_sec"] <= 60
    assert saved["rated_per_sec"] == min(saved["repeats_per_sec"])
    assert any(not step["met"] for step in saved["steps"])
    assert f"RATED {saved['rated_per_sec']:g} REQUESTS A SECOND" in ended.said
    assert (tmp_path / "rate.png").read_bytes().startswith(b"\x89PNG")


def test_a_machine_that_holds_no_rate_writes_no_file(tmp_path: Path) -> None:
    with serving(lambda number: problem(500, "internal-error") if number else GOOD) as server:
        file = targets(tmp_path, rate='error_ratio = "<= 0"\n')
        options = ("--from", 0.9, "--step-seconds", 1, "--warm-up", 0, "--mix", "small", "--targets", file)
        ended = command("rate", "--host", server.url, *options, "--output", tmp_path / "rate.json")
    assert ended.code == 1, ended.complained
    assert ended.said.startswith("NO RATE HOLDS: even 0.9 a second misses its targets.")
    assert not (tmp_path / "rate.json").exists()
