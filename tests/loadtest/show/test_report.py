"""The report in a real browser: nothing missing, no other host asked, every verdict and error in it; the picture."""

from __future__ import annotations

import io
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from loadtest.judge import results, saved, targets
from loadtest.judge.results import Conditions, Run
from loadtest.measure.answers import Judgement, Outcome
from loadtest.measure.records import Records
from loadtest.plan.mix import TYPICAL
from loadtest.plan.scenarios import Overrides, make
from loadtest.plan.schedule import Arrival, Plan
from loadtest.show import report, summary
from tests.loadtest.scripted import MODEL

pytestmark = pytest.mark.slow

CONDITIONS = Conditions(
    when="2026-01-02T03:04:05+00:00",
    host="https://pictures.example.com",
    local=False,
    service={"version": "1.2.3", "commit": "abc", "python": "3.11.7", "model": MODEL},
    process={},
    machine={
        "processor": "Test <b>CPU</b>",
        "flags": ["avx2"],
        "cpus": 2,
        "memory_gb": 8.0,
        "system": "Linux",
        "python": "3.11.7",
        "commit": "abc",
    },
    generator={"locust": "2", "processes": 1, "cpu_share": {"this process": 0.2}},
    pictures={"from": "generated"},
    target_file="loadtest/targets.toml",
)


def made(name: str, share_sent: float = 1.0, clients: int | None = None, interrupted: bool = False) -> Run:
    """Return a run as a machine would give that takes 60 a second: beyond, it refuses, and one in a hundred fails."""
    rng = random.Random(1)  # noqa: S311  # made-up latencies
    plan = Plan(make(name, Overrides(clients=clients)), TYPICAL)
    records = Records()
    schedule = list(plan.schedule()) or [
        (Arrival(0, start + n / 20, phase), "small")
        for phase, start in enumerate(plan.scenario.starts())
        for n in range(40)
    ]
    for arrival, request_kind in schedule[: int(share_sent * len(schedule))]:
        load = plan.scenario.phases[arrival.phase].per_sec / 60
        latency = 0.01 / max(0.05, 1 - load) * rng.lognormvariate(0, 0.3)
        judgement = Judgement(Outcome.GOOD, "200")
        if load > 1 and rng.random() < 1 - 1 / load:
            judgement = Judgement(Outcome.REFUSED, "429 overloaded", "Try again in <i>1</i> s.")
        elif rng.random() < 0.01:
            judgement = Judgement(Outcome.FAILED, "500 internal-error", "A <script>alert(1)</script> mistake.")
        records.add(request_kind, arrival.phase, 1, arrival.due_sec, 0.001, latency, judgement)
    wanted = targets.choose(targets.DEFAULT_FILE, name)
    return results.build(plan, records, plan.scenario.seconds, wanted, CONDITIONS, interrupted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["steady", "steps"])
def test_the_page_has_everything_and_asks_no_other_host(name: str, browser: Browser, tmp_path: Path) -> None:
    run = made(name)
    saved.save(run, tmp_path)
    report.save(run, tmp_path)
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    address = (tmp_path / "report.html").as_uri()
    page.goto(address)
    assert is_drawn((tmp_path / "report.png").read_bytes())
    if name == "steady":  # two reports of one run are equal
        assert report.page(run) == (tmp_path / "report.html").read_text("utf-8")
        assert report.picture(run) == (tmp_path / "report.png").read_bytes()
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert complaints == []
    expect(page.locator("h1")).to_have_text(summary.headline(run.result))
    assert page.locator("#targets tr").count() == 1 + len(run.result["verdicts"])
    for verdict in run.result["verdicts"]:
        row = page.locator("#targets tr", has_text=verdict["condition"]).filter(has_text=verdict["name"]).first
        expect(row.locator(".verdict")).to_have_text("met" if verdict["met"] else "MISSED")
    images = page.locator("img")
    assert images.count() == 3
    for number in range(3):
        assert images.nth(number).evaluate("image => image.complete && image.naturalWidth") > 300
    expect(page.locator("#errors")).to_contain_text("500 internal-error")
    expect(page.locator("#errors")).to_contain_text("A <script>alert(1)</script> mistake.")  # as text, never run
    expect(page.locator("dl")).to_contain_text("Test <b>CPU</b>")
    expect(page.locator(".tile")).to_have_count(6)
    if name == "steps":
        expect(page.locator("tr.knee")).to_have_count(1)
        expect(page.locator("tr.knee")).to_contain_text("the knee")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1100
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "a phone scrolls sideways"
    if folder := os.environ.get("SCREENSHOTS"):
        page.set_viewport_size({"width": 1100, "height": 900})
        page.screenshot(path=Path(folder) / f"report-{name}.png", full_page=True)
        shutil.copy(tmp_path / "report.png", Path(folder) / f"picture-{name}.png")
    context.close()


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def is_drawn(picture: bytes) -> bool:
    colours = pixels(picture)
    return colours.shape == (1200, 1680, 3) and len(np.unique(colours @ np.array([65536, 256, 1]))) > 500


def test_phases_have_a_picture() -> None:
    """The other scenarios are of one phase or of steps, whose pictures the pages above come with."""
    assert is_drawn(report.picture(made("spike")))


def test_a_run_in_which_nothing_was_sent_can_be_reported() -> None:
    run = made("steady", share_sent=0)
    assert "Nothing was sent." in report.page(run)
    assert report.picture(run).startswith(b"\x89PNG")
    assert "6 OF 6 TARGETS ARE MISSED" in summary.terminal(run.result)


def test_a_closed_loop_says_how_it_counts() -> None:
    run = made("steps", clients=4)
    assert "latency counts from sending" in " ".join(report.page(run).split())
    assert "1 to 4 clients that wait for their answers" in summary.terminal(run.result)


def test_a_saved_run_can_be_read_again(tmp_path: Path) -> None:
    run = made("steps")
    saved.save(run, tmp_path)
    assert saved.load(tmp_path)["verdicts"] == run.result["verdicts"]
    assert saved.load(tmp_path / "results.json")["knee"] == run.result["knee"]


@pytest.mark.parametrize(
    ("weights", "notes"),
    [
        ("digits", ["The model under test is a small stand-in that knows handwritten digits, not the one that people"]),
        ("untrained", ["The model under test is a network of random weights, not the one that people will use."]),
        ("official", []),
    ],
)
def test_a_stand_in_model_is_named(weights: str, notes: list[str]) -> None:
    run = made("steady")
    run.result["conditions"]["service"] = {"version": "1", "model": {**MODEL, "weights": weights}}
    said = summary.warnings(run.result)
    assert len(said) == len(notes)
    assert all(text.startswith(note) for text, note in zip(said, notes, strict=True))


def test_a_generator_that_was_the_limit_is_named() -> None:
    run = made("steady")
    run.result["lag_ms"] = {"p50": 1.0, "p99": 50.0, "max": 80.0}
    assert "One in a hundred requests was sent 50 ms late" in " ".join(summary.warnings(run.result))
    run.result["conditions"]["generator"]["cpu_share"] = {"worker 1": 0.97}
    run.result["figures"]["all"]["sent"] = 300
    notes = " ".join(summary.warnings(run.result))
    assert "could not keep up: it sent 300 requests where 450 were due; it used 97% of a processor" in notes


def test_an_interruption_says_how_many_had_no_answer_yet() -> None:
    """Those that wait longest are missing from its figures: a service that hangs would look quick."""
    notes = {share: " ".join(summary.warnings(made("steady", share, interrupted=True).result)) for share in (1.0, 0.5)}
    assert "no answer yet" not in notes[1.0]
    assert "some 238 requests had no answer yet: they are not in here" in notes[0.5]
