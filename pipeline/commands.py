"""Other people's programs, gcloud and pulumi: what was asked is printed, what went wrong is said in one sentence."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from pipeline.errors import StepFailed, log

_T = TypeVar("_T")
# What runs at this moment, for whoever must end it.
_running: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True)
class Result:
    """What a program said and how it ended; a negative code is the signal that ended it."""

    code: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """Return the line that most likely says what went wrong."""
        lines = [line.strip() for line in (self.errors + "\n" + self.output).splitlines() if line.strip()]
        told = [line for line in lines if line.lower().startswith("error")]
        return (told or lines or ["no reason given"])[0 if told else -1]


def run_interactive(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program that talks to the person at this terminal; returns its exit code."""
    program = require(command[0])
    log("+ " + shlex.join(command))
    with subprocess.Popen([program, *command[1:]], env={**os.environ, **environment}, text=True) as process:
        return _attended(process, process.wait)


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    quiet: bool = False,
    limit_sec: float = 7200,
    folder: str | None = None,
    on_output: Callable[[str], object] | None = None,
) -> Result:
    """Run a program to its end and return what it said; with `quiet` off, it is also shown as it comes.

    Args:
        command: program and arguments.
        environment: added to this process's own.
        quiet: whether neither the command nor its output is printed.
        limit_sec: time after which it is ended.
        folder: where it runs, this process's own by default.
        on_output: is given each line of its standard output.

    Raises:
        StepFailed: the program is not installed, or does not end in time.
    """
    program = require(command[0])
    if not quiet:
        log("+ " + shlex.join(command))
    with subprocess.Popen(
        [program, *command[1:]],  # gcloud or pulumi, with arguments made here
        env={**os.environ, **(environment or {})},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Ended by a signal that it can answer: pulumi then waits for the call that runs, and releases its lock.
        watch = threading.Timer(limit_sec, process.terminate)
        watch.start()
        try:
            output, errors = _attended(process, lambda: _read(process, quiet, on_output))
            # A timer that has gone off is no longer alive, and neither is one that could not start.
            late = not watch.is_alive()
        finally:
            watch.cancel()
    if late:
        raise StepFailed(f"`{shlex.join(command[:4])}` did not end within {limit_sec:.0f} s.")
    return Result(process.returncode, output, errors)


def json_output(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Any:
    """Run a program that answers in JSON.

    Raises:
        StepFailed: it fails, or answers something else.
    """
    result = run(command, environment, quiet=True)
    if result.code:
        raise StepFailed(f"`{shlex.join(command[:5])}` failed: {result.last_words}")
    try:
        return json.loads(result.output)
    except ValueError as error:
        raise StepFailed(f"`{shlex.join(command[:5])}` did not answer in JSON: {error}") from error


def terminate_running() -> None:
    """End what runs by a signal that it can answer."""
    for process in list(_running):
        process.terminate()


def require(name: str) -> str:
    """Return where a program is.

    Raises:
        StepFailed: it is not installed.
    """
    if program := shutil.which(name):
        return program
    raise StepFailed(f"{name} is not installed: docs/pipeline.md says what a laptop needs.")


def _attended(process: subprocess.Popen[str], wait: Callable[[], _T]) -> _T:
    """Wait for a program; it is ended with us, and waited for then too."""
    _running.add(process)
    try:
        return wait()
    except BaseException:
        process.terminate()
        raise
    finally:
        _running.discard(process)


def _read(process: subprocess.Popen[str], quiet: bool, on_output: Callable[[str], object] | None) -> tuple[str, str]:
    """Return both streams, read side by side, so that neither fills its pipe and stops the program."""
    assert process.stdout is not None  # noqa: S101  # both are pipes
    assert process.stderr is not None  # noqa: S101
    errors: list[str] = []
    other = threading.Thread(target=_follow, args=(process.stderr, errors, quiet, None), daemon=True)
    other.start()
    output: list[str] = []
    _follow(process.stdout, output, quiet, on_output)
    other.join()
    process.wait()
    return "".join(output), "".join(errors)


def _follow(stream: IO[str], lines: list[str], quiet: bool, on_line: Callable[[str], object] | None) -> None:
    for line in stream:
        lines.append(line)
        if on_line:
            on_line(line.rstrip())
        if not quiet:
            log(line.rstrip())
