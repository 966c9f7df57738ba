"""Every command of the documents: run here where that can be, otherwise held against what would read it.

`console` blocks are run, and what they print is compared with numbers masked. The targets of `make` are run by the
tests of what they start; here it is asked whether they exist and take the variables. gcloud's own parser reads its
commands in tests/pipeline/test_gcloud.py.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

from infra.settings import Settings as StackSettings
from loadtest import options as load_test_options
from loadtest.__main__ import cli as loadtest_cli
from loadtest.bench.__main__ import bench as bench_cli
from loadtest.plan.scenarios import NAMES as SCENARIOS
from pipeline.steps import FILE
from pipeline.steps import read as read_steps
from service.__main__ import cli as service_cli
from service.model.bundle import Bundle
from service.serve.http import openapi
from service.settings import Settings
from tests.conftest import REPOSITORY
from tests.docs.documents import PAGES, Page
from tests.server import Server, environment, running

MAKEFILE = (REPOSITORY / "Makefile").read_text("utf-8")
_TARGETS = {target for line in re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE) for target in line.split()}
_VARIABLES = set(re.findall(r"\$\(?\$?\{?(\w+)", MAKEFILE))
# What is set before a command and read by somebody else: pip, Pulumi, the load test, the download of weights.
_FOREIGN = {"PIP_INDEX_URL", "PULUMI_BACKEND_URL", "LOADTEST_IAP_TOKEN", "LOADTEST_TOKEN"}
_GROUPS = {"service": service_cli, "loadtest": loadtest_cli, "loadtest.bench": bench_cli}
_OUTPUTS = set(
    re.findall(r'"(\w+)"', (REPOSITORY / "infra/__main__.py").read_text("utf-8"))
)  # names of outputs among others


def _make(words: Sequence[str]) -> str | None:
    given = [word.partition("=")[0] for word in words if "=" in word]
    targets = {word for word in words if "=" not in word and word != "..."}
    scenarios = {word for word in words if word.startswith("SCENARIO=")} - {f"SCENARIO={name}" for name in SCENARIOS}
    return ", ".join({*targets - _TARGETS, *set(given) - _VARIABLES, *scenarios}) or None


def _python(words: Sequence[str]) -> str | None:
    if len(words) < 2 or words[0] != "-m" or words[1] not in _GROUPS:
        return None if words in (["-m"], ["-m", "pytest"]) else " ".join(words)
    command: click.Command = _GROUPS[words[1]]
    arguments = list(words[2:])
    if isinstance(command, click.Group):
        if not arguments:
            return None
        if arguments[0] not in command.commands:
            return arguments[0]
        command = command.commands[arguments.pop(0)]
    try:
        # A command that is only named, as in `python -m service serve`, has nothing to be read.
        if arguments:
            passed_on = command.make_context(command.name, arguments).args
            return _locust(passed_on) if words[1] == "loadtest" and command.name != "compare" else None
    except click.exceptions.Exit:
        pass  # --help
    except click.UsageError as error:
        return error.format_message()
    return None


@functools.cache
def _locusts_help() -> str:
    return subprocess.run(
        [sys.executable, "-m", "locust", "--help"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout


def _locust(words: Sequence[str]) -> str | None:
    """The load test's options, and Locust's."""
    try:
        _, others = load_test_options.parser().parse_known_args(list(words))
    except SystemExit:
        return " ".join(words)
    unknown = [word for word in others if word.startswith("-") and f"{word} " not in f"{_locusts_help()} -f "]
    return ", ".join(unknown) or None


def _pulumi(words: Sequence[str]) -> str | None:
    keys = {key for key, *_ in StackSettings.table()} | {"gcp:project", "gcp:region"}
    match [word for word in words if not word.startswith("--")]:
        case ["config", "set", key, *_] if key != "...":
            return None if re.sub(r"\[\d+\]$", "", key) in keys else key
        case ["stack", "output", name]:
            return None if name in _OUTPUTS else name
        case (
            ["config"]
            | ["config", "set"]
            | ["config", "set", "..."]
            | ["up"]
            | ["refresh"]
            | ["version"]
            | ["cancel", *_]
            | ["stack", "select" | "init" | "output", *_]
        ):
            return None
    return " ".join(words)


_ADDRESSES = {*openapi.document()["paths"], "/", "/docs", "/openapi.json"}


def _curl(words: Sequence[str]) -> str | None:
    (url,) = [word for word in words if "//" in word] or [""]
    path = "/" + urlsplit(url).path.rpartition("/")[2]
    return None if path in _ADDRESSES else url


def _files(words: Sequence[str]) -> str | None:
    """Look for the files and folders of this repository that are named."""
    named = [word for word in words if re.match(r"(requirements|tests|container|loadtest)/", word)]
    return ", ".join(name for name in named if not (REPOSITORY / name).exists()) or None


def _looked_at(words: Sequence[str]) -> str | None:  # nobody here could run it
    return None


READERS: dict[str, Callable[[Sequence[str]], str | None]] = {
    "make": _make, "python": _python, "locust": _locust, "pulumi": _pulumi, "curl": _curl, "pytest": _files,
    "pip": _files,
    "container/run.sh": _files, "gcloud": _looked_at, "docker": _looked_at, "export": _looked_at, "cat": _looked_at,
}  # fmt: skip
COMMANDS = [command for page in PAGES for command in page.commands]


def test_the_documents_have_commands() -> None:
    assert {command.words[0] for command in COMMANDS} >= {"make", "python", "pulumi", "gcloud", "curl"}
    assert len(COMMANDS) > 80


def test_every_command_is_one_that_its_program_takes() -> None:
    """Of `console` blocks too; what those print is compared below."""
    wrong = []
    for command in COMMANDS:
        program, *words = command.words
        if command.is_run and program not in READERS:
            continue
        complaint = READERS[program](words) if program in READERS else f"nobody reads {program}"
        names = {name.partition("=")[0] for name in command.assignments}
        unknown = names - _VARIABLES - _FOREIGN - {name for name, *_ in Settings.table()}
        if complaint or unknown:
            wrong.append(f"{command}: {complaint or unknown}")
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "make fly",
        "make run COLOUR=blue",
        "make loadtest SCENARIO=flood",
        "python -m service serf",
        "python -m service build --wings 2",
        "python -m loadtest run --scenario flood",
        "locust -f loadtest/locustfile.py --scenario flood",
        "python -m loadtest run --host http://localhost:8080 --procesess 2",
        "pulumi config set colour blue",
        "pulumi stack output wings",
        "curl -v http://localhost:8080/predicted",
        "pip install -r requirements/wings.txt",
    ],
)
def test_the_readers_notice_what_is_wrong(line: str) -> None:
    program, *words = line.split()
    assert READERS[program](words)


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md", "docs/deployment.md"])
def test_a_first_deployment_shows_the_pipelines_steps(page: str) -> None:
    steps = [step.id for step in read_steps(FILE, {})]
    shown = re.findall(r"`== (\d+)/(\d+) (\w+)`", Page(page).text)
    assert shown
    assert [(steps[int(number) - 1], len(steps)) for number, _, _ in shown] == [(id_, int(of)) for _, of, id_ in shown]


def masked(text: str) -> str:
    """Return a text without spaces, numbers replaced: times differ, documents break lines where they like."""
    return re.sub(r"\d+(\.\d+)?", "0", "".join(text.split()))


def _consoles() -> Iterator[tuple[Page, str]]:
    for page in PAGES:
        for block in page.blocks:
            if block.language == "console":
                yield page, block.text


@pytest.fixture(scope="module")
def server(lite0_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("documents"), MODEL_DIR=lite0_bundle.path) as started:
        yield started


def test_consoles_print_what_the_documents_show(server: Server, lite0_bundle: Bundle, tmp_path: Path) -> None:
    """In a folder where `make run` has built the model, with the service that it starts."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "resnet18").symlink_to(lite0_bundle.path)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shown = [*_consoles()]
    assert {page.path for page, _ in shown} >= {"README.md", "README.zh-CN.md", "docs/interface.md"}
    for page, text in shown:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, answer = re.sub(r"\\\n\s*", "", part).partition("\n")
            result = subprocess.run(
                ["bash", "-c", command.replace("localhost:8080", f"127.0.0.1:{server.port}")],
                cwd=tmp_path,
                env={**environment(), "PATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL if command.startswith("curl") else subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert masked(result.stdout) == masked(answer), f"{page.path}: {command}"
