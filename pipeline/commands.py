"""Other people's programs, gcloud and pulumi: what was asked is printed, what went wrong is said in one sentence."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import Stop, say


@dataclass(frozen=True)
class Result:
    """What a program said and how it ended."""

    code: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """Return the line that most likely says what went wrong."""
        lines = [line.strip() for line in (self.errors + "\n" + self.output).splitlines() if line.strip()]
        told = [line for line in lines if line.lower().startswith("error")]
        return (told or lines or ["no reason given"])[0 if told else -1]


def run_by_hand(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program that talks to the person at this terminal; returns its exit code."""
    program = _find(command[0])
    say("+ " + shlex.join(command))
    return subprocess.run([program, *command[1:]], env={**os.environ, **environment}, check=False).returncode


def _find(name: str) -> str:
    if program := shutil.which(name):
        return program
    raise Stop(f"{name} is not installed: docs/pipeline.md says what a laptop needs.")


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    quiet: bool = False,
    limit_sec: float = 7200,
) -> Result:
    """Run a program to its end and return what it said; with `quiet` off, it is also shown as it comes.

    Args:
        command: program and arguments.
        environment: added to this process's own.
        quiet: whether neither the command nor its output is printed.
        limit_sec: time after which it is ended.

    Raises:
        Stop: the program is not installed, or does not end in time.
    """
    program = _find(command[0])
    if not quiet:
        say("+ " + shlex.join(command))
    said: list[str] = []
    with subprocess.Popen(
        [program, *command[1:]],  # gcloud or pulumi, with arguments made here
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        # Pulumi prints its diagnostics on either, so that the two are one where people read along.
        stderr=subprocess.PIPE if quiet else subprocess.STDOUT,
        text=True,
    ) as process:
        # Ended by a signal that it can answer: pulumi then releases its lock on the state.
        watch = threading.Timer(limit_sec, process.terminate)
        watch.start()
        try:
            if quiet:
                output, errors = process.communicate()
                result = Result(process.returncode, output, errors)
            else:
                assert process.stdout is not None  # noqa: S101  # it is a pipe
                for line in process.stdout:
                    said.append(line)
                    say(line.rstrip())
                result = Result(process.wait(), "".join(said), "")
        except BaseException:
            process.terminate()
            raise
        finally:
            late = not watch.is_alive()
            watch.cancel()
    if late:
        raise Stop(f"`{shlex.join(command[:4])}` did not end within {limit_sec:.0f} s.")
    return result


def ask(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Any:
    """Run a program that answers in JSON.

    Raises:
        Stop: it fails, or answers something else.
    """
    result = run(command, environment, quiet=True)
    if result.code:
        raise Stop(f"`{shlex.join(command[:4])}` failed: {result.last_words}")
    try:
        return json.loads(result.output)
    except ValueError as error:
        raise Stop(f"`{shlex.join(command[:4])}` did not answer in JSON: {error}") from error
