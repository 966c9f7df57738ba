"""One clear sentence and exit code 2, never a green run; and nothing is sent without consent.

test_service.py, test_endpoint.py, test_targets.py and test_mix.py have the rest of what can be wrong.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, encode, photo
from tests.loadtest.runs import LENIENT, command, locust, start, targets
from tests.loadtest.scripted import serving

pytestmark = pytest.mark.slow

NOBODY = ("--host", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "Give --host URL"),
        (["--host", "http://x", "--serve"], "Give --host URL"),
        (["--host", "example.com"], "is no address of a service"),
        ([*NOBODY, "--connect-to", "localhost"], "--connect-to 'localhost' is no IP address: write one such as"),
        ([*NOBODY, "--mix", "cats"], "'cats' is no share"),
        ([*NOBODY, "--mix", "small"], "cannot be reached: Connection refused"),
        ([*NOBODY, "--targets", "/no/such/file"], "/no/such/file cannot be read"),
        ([*NOBODY, "--rate", "0"], "--rate 0: expected"),
        ([*NOBODY, "--closed", "1000"], "--closed 1000: expected a number of clients from 1 to 900"),
        ([*NOBODY, "--warm-up", "-1"], "--warm-up -1: expected seconds"),
        (["--serve", "--ca", "/no/such.pem"], "--serve starts a service without certificates: give --host with --ca"),
        (["--serve", "--connect-to", "127.0.0.1"], "--serve starts a service at an address of its own"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], part: str) -> None:
    command("run", *arguments).refused(part)


def test_a_folder_that_lacks_what_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(photo(), "PNG"))
    with serving() as server:
        ended = command("run", "--host", server.url, "--pictures", tmp_path, "--mix", "png=1,phone=1")
    ended.refused("holds no picture for phone")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run", *NOBODY, "--scenario", "storm"],
        ["run", *NOBODY, "--closed", "x"],
        ["rate", *NOBODY, "--nonsense"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    ended = command(*arguments)
    assert (ended.code, ended.said) == (2, "")
    assert "usage:" in ended.complained.lower()


def test_what_no_option_is_called_locust_says(tmp_path: Path) -> None:
    """Whatever the load test does not know may be Locust's."""
    ended = command("run", *NOBODY, "--procesess", "2")
    assert (ended.code, ended.said) == (2, "")
    assert "unrecognized arguments: --procesess\nDid you mean '--processes'?" in ended.complained


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (NOBODY, "cannot be reached: Connection refused"),
        ((*NOBODY, "--targets", "/no/such/file"), "/no/such/file cannot be read"),
        ((*NOBODY, "--scenario", "steps", "--rate", 50, "--to", 20), "--to 20 is not above --rate 50"),
        ((), "--host '' is no address of a service"),
    ],
)
def test_locusts_own_command_says_the_same(arguments: tuple[object, ...], part: str) -> None:
    locust("-f", "loadtest/locustfile.py", "--headless", "--mix", "small", *arguments).refused(part)


@pytest.mark.parametrize(
    ("typed", "yes", "said"),
    [
        ("", (), "Nobody is there to answer: give --yes"),
        ("n\n", (), "Error: Nothing was sent."),
        ("", ("--yes",), "cannot be reached"),
    ],
)
def test_another_machine_is_only_loaded_with_consent(typed: str, yes: tuple[str, ...], said: str) -> None:
    """Where nobody can answer the question, nothing is sent, not even a question; the same with an answer of no."""
    load = ("--scenario", "steady", "--mix", "small")
    ended = start("run", "--host", "http://classify.invalid", *load, *yes, typed=typed).wait()
    assert ended.code == 2
    assert said in ended.complained
    assert ("will get 475 requests within 95 s" in ended.complained) is not bool(yes)


def test_where_nothing_can_be_written_nothing_is_sent(tmp_path: Path) -> None:
    """A file stands where the folder is to be; a search of minutes is not thrown away for that either."""
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "folder"
    with serving() as server:
        for arguments in (("run", "--output", place), ("rate", "--output", place / "rate.json")):
            command(*arguments, "--host", server.url, "--mix", "small").refused(f"{place} cannot be written: Not a dir")
        assert len(server.seen) == 2  # the questions of the check


def test_a_report_that_cannot_be_written_after_all_is_one_sentence_after_the_verdict(tmp_path: Path) -> None:
    """The disk may fill during the test; here, a folder has a file's name."""
    (tmp_path / "results.json").mkdir()
    file = targets(tmp_path, smoke=LENIENT)
    load = ("--mix", "small", "--rate", 10, "--seconds", 0.8, "--no-charts", "--targets", file, "--output", tmp_path)
    with serving() as server:
        ended = command("run", "--host", server.url, *load)
    assert ended.code == 2
    assert ended.said.startswith("ALL 3 TARGETS ARE MET")
    assert ended.complained.splitlines()[-1] == (
        f"Error: {tmp_path} cannot be written: Is a directory. Name another place."
    )
    assert "Traceback" not in ended.complained


def test_the_command_line_loads_no_ssl_before_locust() -> None:
    """Locust replaces the standard library's sockets at its import, and cannot where TLS has been loaded before."""
    code = "import sys, loadtest.__main__\nprint({'ssl', 'locust'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_the_pure_parts_load_without_locust() -> None:
    """Reports and the gate replace nothing of the standard library."""
    rooms = {
        "": "__main__, exit_codes, options",
        ".plan": "bodies, mix, pictures, scenarios, schedule",
        ".measure": "answers, connect, diagnosis, endpoint, machine, percentiles, records, service, session",
        ".judge": "document, metrics, rating, results, saved, targets",
        ".show": "charts, comparison, drawing, rated, report, summary",
    }
    lines = [f"from loadtest{room} import {names}" for room, names in rooms.items()]
    code = "\n".join(["import sys", *lines, "print('locust' in sys.modules)"])
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
