"""The step `load`: what the load test says of the candidate or the fleet, and what of that ends a build."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from loadtest.judge import targets
from service.model.bundle import Bundle
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import run
from tests.server import running

CANDIDATE, FLEET = ["bash", "pipeline/load.sh"], ["bash", "pipeline/load.sh", "https://classifier.example", "own.toml"]
SETTINGS = {"PYTHON": sys.executable, "PYTHONPATH": REPOSITORY, "SCENARIO": "smoke"}


@pytest.fixture
def folder(checkout: Path) -> Path:
    (checkout / ".pipeline").mkdir()
    (checkout / ".pipeline" / "url").write_text("http://127.0.0.1:9\n")
    return checkout


def says(folder: Path, code: int) -> dict[str, str]:
    """Have a load test that ends with `code` and writes down its arguments; returns the step's settings."""
    program = folder / "loadtest-that-ends"
    write = f"import json, sys; json.dump(sys.argv[1:], open({str(folder / 'asked')!r}, 'w')); sys.exit({code})"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(write)} "$@"\n')
    program.chmod(0o755)
    return {"PYTHON": str(program)}


def asked(folder: Path) -> list[str]:
    words: list[str] = json.loads((folder / "asked").read_text())
    return words


def test_the_fleets_targets_are_targets() -> None:
    """No wider in what may fail than the candidate's, only in how long it may take."""
    ours, theirs = (
        targets.choose(file, "steady") for file in (REPOSITORY / "pipeline" / "targets.toml", targets.DEFAULT_FILE)
    )
    ratios = {"error_ratio", "refused_ratio", "goodput_ratio"}
    assert {target.metric for target in ours} == ratios | {"p95_ms"}
    assert [target for target in ours if target.metric in ratios] == [t for t in theirs if t.metric in ratios]


def test_the_candidate_is_held_against_the_projects_own_targets(folder: Path) -> None:
    run(CANDIDATE, folder, None, **says(folder, 0))
    assert asked(folder)[:6] == ["-m", "loadtest", "run", "--host", "http://127.0.0.1:9", "--scenario"]
    assert {"--targets", "--connect-to"}.isdisjoint(asked(folder))


def test_the_fleet_is_asked_by_an_address_where_its_name_may_not_lead_there_yet(folder: Path) -> None:
    run(FLEET, folder, None, **says(folder, 0), CONNECT_TO="203.0.113.9")
    words = asked(folder)
    assert words[words.index("--host") + 1] == "https://classifier.example"
    assert words[words.index("--targets") + 1] == "own.toml"
    assert words[words.index("--connect-to") + 1] == "203.0.113.9"


@pytest.mark.parametrize(("code", "ended"), [(0, 0), (1, 1), (2, 2), (3, 3), (130, 2), (137, 2)])
def test_the_rollout_is_told_what_was_found_of_the_fleet(code: int, ended: int, folder: Path) -> None:
    """Latency alone (3) among it: what follows of it is not for this step to say."""
    assert run(FLEET, folder, None, **says(folder, code)).returncode == ended


class TestTheCandidate:
    @pytest.mark.parametrize(
        ("code", "sentence"),
        [
            (1, "the candidate misses its targets under load, see above. Nothing was pushed or changed."),
            (2, "the candidate could not be tested under load, see above. Nothing was pushed or changed."),
            (137, "the candidate could not be tested under load, see above. Nothing was pushed or changed."),
        ],
    )
    def test_it_goes_no_further(self, code: int, sentence: str, folder: Path) -> None:
        result = run(CANDIDATE, folder, None, **says(folder, code))
        assert result.returncode in (1, 2)
        assert result.stderr == f"pipeline: {sentence}\n"

    def test_latency_alone_is_a_warning(self, folder: Path) -> None:
        """A builder is shared, and a gate that fails now and then stops releases that are fine."""
        result = run(CANDIDATE, folder, None, **says(folder, 3))
        assert (result.returncode, result.stderr) == (0, "")
        assert "a warning: only latency is missed" in result.stdout


@pytest.fixture
def quick(tmp_path: Path) -> str:
    """Return a Python whose load tests send what the step asks for, but small JPEGs only, for two seconds, undrawn."""
    program = tmp_path / "python-in-a-hurry"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" --seconds 1.8 --mix small --no-charts\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.slow
def test_a_real_load_test_says_what_was_missed(folder: Path, tiny_bundle: Bundle, tmp_path: Path, quick: str) -> None:
    """Of the real service under a real load: something else than latency, and latency alone."""
    file = tmp_path / "own.toml"
    with running(tmp_path, MODEL_DIR=tiny_bundle.path) as server:
        url = f"http://127.0.0.1:{server.port}"
        for own, code, part in (
            ('goodput_per_sec = ">= 100000"\n', 1, "goodput a second"),
            ('\n[smoke.small]\np50_ms = "<= 0.001"\n', 3, "p50 of small JPEG"),
        ):
            file.write_text(f'[smoke]\nerror_ratio = "<= 0"\n{own}')
            result = run(["bash", "pipeline/load.sh", url, str(file)], folder, None, **{**SETTINGS, "PYTHON": quick})
            assert result.returncode == code, result.stderr
            assert f"MISSED  {part}" in result.stdout
    assert (folder / "reports" / "loadtest" / "results.json").exists()


@pytest.mark.slow
def test_a_candidate_that_does_not_answer_stops_the_build(folder: Path) -> None:
    result = run(CANDIDATE, folder, None, **SETTINGS)
    assert result.returncode == 2
    assert result.stderr.endswith("could not be tested under load, see above. Nothing was pushed or changed.\n")
