"""Other people's programs, gcloud and pulumi: what was asked is printed, what went wrong is said in one sentence."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from pipeline.errors import StepFailed, log

# The exit code of what Ctrl-C has ended, as shells have it.
INTERRUPTED = 128 + signal.SIGINT
# What runs at this moment, for whoever must end it.
_running: set[subprocess.Popen[Any]] = set()


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


def run_interactive(command: Sequence[str], environment: Mapping[str, str], *, quiet: bool = False) -> int:
    """Run a program that has this terminal, with the person at it; returns its exit code.

    Ctrl-C reaches the program too, which may need minutes to end well: it is waited for, and never killed.
    """
    program = require(command[0])
    if not quiet:
        log("+ " + shlex.join(command))
    with (
        _interrupts() as interrupts,
        subprocess.Popen([program, *command[1:]], env={**os.environ, **environment}) as process,
    ):
        _attend(process)
    return process.returncode or (INTERRUPTED if interrupts else 0)


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
        # Ctrl-C and a terminal that is closed reach this process alone, which then ends the program once: at a second
        # signal pulumi drops the call that it is in, and at a hang-up too (its cancellation_scope.go).
        process_group=0,
    ) as process:
        # Ended by a signal that it can answer: pulumi then waits for the call that runs, and releases its lock.
        watch = threading.Timer(limit_sec, process.terminate)
        watch.start()
        try:
            output, errors = _read(process, quiet, on_output)
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
    raise StepFailed(f"{name} is not installed: docs/deployment.md says what a laptop needs.")


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Take no notice of Ctrl-C but to count it, while a program has the terminal; it gets the same signal."""
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _attend(process: subprocess.Popen[Any]) -> None:
    """Wait for a program's end; it is ended with us, and waited for then too."""
    _running.add(process)
    try:
        process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        _running.discard(process)


def _read(process: subprocess.Popen[str], quiet: bool, on_output: Callable[[str], object] | None) -> tuple[str, str]:
    """Return both streams, read side by side, so that neither fills its pipe and stops the program.

    By threads, which go on while a program that was ended says its last words: it would die of a pipe that nobody
    reads.
    """
    output: list[str] = []
    errors: list[str] = []
    streams = ((process.stdout, output, quiet, on_output), (process.stderr, errors, quiet, None))
    readers = [threading.Thread(target=_follow, args=stream, daemon=True) for stream in streams]
    for reader in readers:
        reader.start()
    try:
        _attend(process)
    finally:
        for reader in readers:
            reader.join()
    return "".join(output), "".join(errors)


def _follow(stream: IO[str], lines: list[str], quiet: bool, on_line: Callable[[str], object] | None) -> None:
    for line in stream:
        lines.append(line)
        if on_line:
            on_line(line.rstrip())
        if not quiet:
            log(line.rstrip())
