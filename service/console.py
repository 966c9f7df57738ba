"""What the commands share: exit codes, and how a mistake becomes one line."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import click

from service.errors import ServiceError

EXIT_PICTURE = 1
EXIT_USAGE = 2
EXIT_MODEL = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def fail(code: int, message: str) -> NoReturn:
    """End the command with a line on standard error."""
    click.echo(f"Error: {message}", err=True)
    raise SystemExit(code)


@contextlib.contextmanager
def model_errors() -> Iterator[None]:
    """End the command with EXIT_MODEL for a ServiceError, a file that the system refuses, or no room for a thread."""
    try:
        yield
    except ServiceError as error:
        fail(EXIT_MODEL, str(error))
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        fail(
            EXIT_MODEL,
            "no thread can be started: raise the limit of processes (ulimit -u, systemd's TasksMax, a container's "
            "--pids-limit), or have less run here",
        )
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        fail(EXIT_MODEL, f"{place}{error.strerror or error}")


def tidy_when_terminated() -> None:
    """Let SIGTERM (`timeout`, `docker stop`) end this process as Ctrl-C does: with what it started, and half made."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, end)
