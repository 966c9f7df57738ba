"""How much of everything a server of so many processors has: the one place that computes it, and everybody reads it.

A request waits, with its thread, for one of `slots`; what the network and the decoding cost is computed in a thread for
each slot. Threads are started when they are first needed, so numbers for the worst case cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.model.processors import available_cpus
from service.settings import Settings

# While one picture is computed, another is decoded and a third one's answer is written. Measured on two processors with
# INT8 and 16 clients, HTTP against the loop in one process: 89 % with one slot for each, 94-98 % with two.
SLOTS_PER_CPU = 2

# Threads beyond those that wait with an admitted request: for probes, metrics, the page and refusals by routes.
SPARE_REQUEST_THREADS = 64

# At this number gunicorn stops accepting, and probes would wait behind whoever holds connections open in silence; its
# own 1,000 are few for a balancer that keeps them 620 s. Each is a file of this process.
MOST_CONNECTIONS = 10_000
SPARE_FILES = 256

# gunicorn's parent, the worker's main thread, its watch over slow clients, the one that opens the model, that which
# drains, and some to spare for what packages start by themselves.
_OTHER_THREADS = 32


@dataclass(frozen=True)
class Capacity:
    """What follows from the number of processors and the length of the queue.

    Attributes:
        cpus: processors that the engine may use, at least 1.
        queue_size: requests that may wait for a slot.
    """

    cpus: int
    queue_size: int

    @classmethod
    def of(cls, settings: Settings) -> Capacity:
        """Return the capacity of a server with these settings on this machine."""
        return cls(settings.threads or available_cpus(), settings.queue_size)

    @property
    def slots(self) -> int:
        """Requests at work at once."""
        return SLOTS_PER_CPU * self.cpus

    @property
    def spare_slots(self) -> int:
        """Slots beyond one for each processor."""
        return self.slots - self.cpus

    @property
    def admitted(self) -> int:
        """Requests that are let in at once: at work, or waiting."""
        return self.slots + self.queue_size

    @property
    def request_threads(self) -> int:
        """Gunicorn's threads: more than admitted requests, or probes and refusals would wait behind work."""
        return self.admitted + SPARE_REQUEST_THREADS

    @property
    def computing_threads(self) -> int:
        """Threads that decode and call the engine, one for each slot."""
        return self.slots

    @property
    def engine_threads(self) -> int:
        """What an engine may start itself, measured: ncnn 2 for each processor, OpenVINO 6 with two of them."""
        return 3 * self.cpus + 2

    @property
    def processes(self) -> int:
        """What the kernel counts against a container's limit of processes: every thread of every process, at most."""
        return self.request_threads + self.computing_threads + self.engine_threads + _OTHER_THREADS


def connections(soft_files: int, hard_files: int) -> tuple[int, int]:
    """Return how many connections may be open at once, and how many files the process has to ask for.

    Args:
        soft_files: the limit of open files that holds (RLIMIT_NOFILE), -1 where there is none.
        hard_files: the one up to which a process may ask for more, -1 where there is none.
    """
    wanted = MOST_CONNECTIONS + SPARE_FILES
    files = wanted if hard_files < 0 else min(hard_files, wanted)
    asked = files if 0 <= soft_files < files else soft_files
    return max(files - SPARE_FILES, files // 2), asked
