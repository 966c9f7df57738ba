"""A program that is at work when somebody says stop ends what it does: once told so, heard to the end, waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import commands
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

# As Pulumi: told to stop it says so, ends the call that it is in, and writes its state; told twice, it drops the call.
# As a program in Go, it dies of a line that nobody can read any more.
PULUMI = """
import signal, sys, time
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
told = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: told.append(number))
print("at work", flush=True)
open("started", "w").close()
while not told:
    time.sleep(0.01)
for _ in range(60):
    print("cancelling", flush=True)
    print("cancelling", file=sys.stderr, flush=True)
    time.sleep(0.01)
open("ended", "w").write("well" if len(told) == 1 else "dropped its call")
sys.exit(1)
"""
ROLLOUT = """
import signal, sys
from pipeline import commands, rollout
for number in rollout._SIGNALS:
    signal.signal(number, rollout._end)
try:
    commands.run(["pulumi", "up"])
finally:
    open("tidied", "w").write(open("ended").read())
"""
STEPS = """
from pipeline.errors import main
from pipeline.steps import Step, run
main(lambda: run([Step("rollout", ["pulumi"]), Step("later", ["touch", "later"])], {}))
"""
UP = """
import signal, sys
from pipeline import commands, rollout
for number in rollout._SIGNALS:
    signal.signal(number, rollout._end)
code = commands.run_interactive(["pulumi", "up"], {})
open("tidied", "w").write(open("ended").read())
sys.exit(code)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}{PULUMI}")
    program.chmod(0o755)
    return tmp_path


def start(folder: Path, script: str) -> subprocess.Popen[str]:
    """Start a script as a terminal does, in a group of its own that Ctrl-C reaches as a whole."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=folder,
        env={"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while not (folder / "started").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_rollout_that_is_ended_waits_until_pulumi_has_written_its_state(folder: Path, number: int) -> None:
    process = start(folder, ROLLOUT)
    os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=20)
    assert (folder / "tidied").read_text() == "well", said
    assert process.returncode == 128 + number
    assert said.count("cancelling") == 120, "its last words are shown"


def test_who_is_impatient_ends_nothing_in_the_middle(folder: Path) -> None:
    process = start(folder, ROLLOUT)
    for _ in range(3):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
    said, _ = process.communicate(timeout=20)
    assert (folder / "tidied").read_text() == "well", said


@pytest.mark.parametrize("script", [STEPS, UP])
def test_what_has_the_terminal_answers_to_ctrl_c_itself_and_is_waited_for(folder: Path, script: str) -> None:
    process = start(folder, script)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert (folder / "ended").read_text() == "well", said
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert not (folder / "later").exists()
    assert (folder / "tidied").exists() == (script == UP)


def test_a_program_that_takes_ctrl_c_for_success_has_not_succeeded(folder: Path) -> None:
    (folder / "bin" / "pulumi").write_text(f"#!{sys.executable}{PULUMI.replace('sys.exit(1)', '')}")
    process = start(folder, UP)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == commands.INTERRUPTED
