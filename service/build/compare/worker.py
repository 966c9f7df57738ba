"""One network in a process of its own, so that its memory can be told and no other network's threads disturb it."""

from __future__ import annotations

import multiprocessing
import signal
import statistics
import threading
import time
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from service.errors import EngineError
from service.model.bundle import Bundle
from service.model.processors import available_cpus

_LONE_RUNS = 10
_START_LIMIT_SEC = 120
_PROC_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Turn:
    """What one turn found: files to labels."""

    pictures_per_sec: float
    lone_ms: float


class Worker:
    """A process that has a bundle open in one precision; used in a `with` block."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, bundle.path, precision), daemon=True)
        # Ctrl-C goes to the whole group: this process ends the other, which would add a traceback.
        resource_tracker.ensure_running()  # its first start would let signals through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        try:
            self.engine = str(self._answer(_START_LIMIT_SEC))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()

    def turn(self, seconds: float) -> Turn:
        """Let it compute for so long on all processors, and a few times alone."""
        self._pipe.send(seconds)
        found: Turn = self._answer(_START_LIMIT_SEC + seconds)
        return found

    def memory_mb(self) -> float:
        """Return the most that the process has taken so far, in 10^6 bytes."""
        self._pipe.send(None)
        found: float = self._answer(_START_LIMIT_SEC)
        return found

    def _answer(self, limit_sec: float) -> Any:
        try:
            if not self._pipe.poll(limit_sec):
                raise EngineError(f"it gave no answer within {limit_sec:.0f} s")
            found = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise EngineError("its process ended, perhaps for want of memory") from error
        if isinstance(found, Exception):
            raise found
        return found


def _work(pipe: Connection, folder: Path, precision: str) -> None:
    from service.model.classifier import BundleClassifier
    from service.model.images import load
    from service.model.limits import Limits

    processors = available_cpus()
    try:
        classifier = BundleClassifier.open(folder, precision=precision)
        classifier.check()
    except Exception as error:  # whatever it is, the line of this network says it
        pipe.send(EngineError(str(error)))
        return
    files = [file.read_bytes() for file in classifier.sample_files()]

    def run(index: int, exclusive: bool) -> None:
        pixels = load(files[index % len(files)], classifier.geometry, Limits())
        classifier.top(classifier.classify(pixels, exclusive=exclusive), 3)

    pipe.send(classifier.describe().engine)
    while True:
        try:
            seconds = pipe.recv()
        except EOFError:
            return
        pipe.send(_peak_mb() if seconds is None else _turn(run, seconds, processors))


def _turn(run: Any, seconds: float, processors: int) -> Turn:
    lone = []
    for index in range(_LONE_RUNS):
        started = time.perf_counter()
        run(index, True)
        lone.append(time.perf_counter() - started)
    end = time.perf_counter() + seconds
    counts = [0] * processors

    def call(number: int) -> None:
        while time.perf_counter() < end:
            run(counts[number], processors == 1)
            counts[number] += 1

    started = time.perf_counter()
    callers = [threading.Thread(target=call, args=(number,)) for number in range(processors)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return Turn(sum(counts) / (time.perf_counter() - started), 1e3 * statistics.median(lone))


def _peak_mb() -> float:
    """Return the peak of this process's resident memory; a child's ru_maxrss begins with its parent's, on Linux."""
    if _PROC_STATUS.exists():
        line = next(line for line in _PROC_STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS
