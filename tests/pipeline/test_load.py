"""The step `load`: the load test's own verdict ends the build, with the candidate's targets or the fleet's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loadtest import targets
from service.bundle import Bundle
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import complaint, run
from tests.server import running


@pytest.fixture
def folder(checkout: Path) -> Path:
    (checkout / ".pipeline").mkdir()
    return checkout


LOAD = ["bash", "pipeline/load.sh"]
SETTINGS = {"PYTHON": sys.executable, "PYTHONPATH": REPOSITORY, "SCENARIO": "smoke"}


def test_the_fleets_targets_are_targets() -> None:
    """No wider in what may fail than the candidate's, only in how long it may take."""
    ours, theirs = (
        targets.choose(REPOSITORY / folder / "targets.toml", "steady") for folder in ("pipeline", "loadtest")
    )
    ratios = {"error_ratio", "refused_ratio", "goodput_ratio"}
    assert {target.metric for target in ours} == ratios | {"p95_ms"}
    assert [target for target in ours if target.metric in ratios] == [t for t in theirs if t.metric in ratios]


def test_a_missed_target_stops_the_build(folder: Path, digits_bundle: Bundle, tmp_path: Path) -> None:
    """A real load test of the real service, against a target that nobody can meet."""
    strict = tmp_path / "strict.toml"
    strict.write_text('[smoke]\nerror_ratio = "<= 0"\n\n[smoke.small]\np50_ms = "<= 0.001"\n')
    with running(tmp_path, MODEL_DIR=digits_bundle.path) as server:
        result = run([*LOAD, f"http://127.0.0.1:{server.port}", str(strict)], folder, None, **SETTINGS)
    assert result.returncode == 1, result.stderr
    assert "p50" in result.stdout + result.stderr


def test_a_candidate_that_does_not_answer_stops_the_build(folder: Path) -> None:
    (folder / ".pipeline" / "url").write_text("http://127.0.0.1:9\n")
    sentence = complaint(run(LOAD, folder, None, **SETTINGS))
    assert sentence.endswith("could not be tested, see above: nothing was pushed or changed.")
