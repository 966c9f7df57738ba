"""What is seen while a test runs: one line on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Iterator

import click
import gevent

from loadtest.measure.answers import Outcome
from loadtest.measure.session import Session

_LOG_INTERVAL_SEC = 10


class Progress:
    """Tells how far a test is, on standard error."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()

    def say(self, message: str) -> None:
        """Say something on a line of its own."""
        if not self._quiet:
            click.echo(message, err=True)

    @contextlib.contextmanager
    def shown(self, session: Session) -> Iterator[None]:
        """Show the state of a session, every second, for the duration of the block."""
        if self._quiet:
            yield
            return
        greenlet = gevent.spawn(self._show, session)
        try:
            yield
        finally:
            greenlet.kill()
            if self._terminal:
                click.echo("\r\x1b[K", nl=False, err=True)

    def _show(self, session: Session) -> None:
        seen, shown = 0, 0
        while True:
            gevent.sleep(1)
            shown += 1
            if not self._terminal and shown % _LOG_INTERVAL_SEC:
                continue
            count = len(session.records)
            seen = min(seen, count)  # a new plan has a new record
            line = describe(session, seen)
            click.echo(f"\r\x1b[K{line}" if self._terminal else line, nl=not self._terminal, err=True)
            seen = count


def describe(session: Session, begin: int = 0) -> str:
    """Return the state of a session in one line; latency is of the answers from number `begin` on."""
    scenario, second = session.scenario, session.second()
    index = scenario.phase_at(second)
    doing = "waiting for the last answers" if index is None else scenario.phases[index].name
    latencies, outcomes = session.records.tail(begin)
    good = [value / 1000 for value, outcome in zip(latencies, outcomes, strict=True) if outcome == Outcome.GOOD]
    _, everything = session.records.tail(0)
    refused, failed = (everything.count(outcome) for outcome in (Outcome.REFUSED, Outcome.FAILED))
    return (
        f"{_clock(min(second, scenario.seconds))} of {_clock(scenario.seconds)}  {doing:<10.30}  "
        f"{len(session.records):>6} answers, {refused} refused, {failed} failed"
        + (f"; just now {statistics.median(good):.0f} ms" if good else "")
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
