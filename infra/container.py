"""The container as the machines run it and as Google probes it, and the times that must fit into one another.

The flags of `docker run` are read from container/run.flags, which the image's own tests use, so that there is one list.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Where the service listens inside the container, as the image says.
PORT = 8080

# Google's balancer keeps idle connections to the machines for 600 s, which cannot be changed; a machine that closes
# first makes it answer 502 (https://cloud.google.com/load-balancing/docs/https#timeout-keepalive-backends).
BALANCER_KEEPALIVE_SEC = 600
KEEPALIVE_SEC = BALANCER_KEEPALIVE_SEC + 20
# The balancer's time-out: above the service's own (10 s), so that the service's answer arrives.
BALANCER_TIMEOUT_SEC = 30

# The seconds between the notice that a Spot machine gets and its end
# (https://cloud.google.com/compute/docs/instances/spot).
SPOT_NOTICE_SEC = 30
# gunicorn waits a second longer than its requests may take before it gives up on them.
STOP_MARGIN_SEC = 1

FILE = Path(__file__).parents[1] / "container" / "run.flags"

_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


@dataclass(frozen=True)
class Probe:
    """One of Google's health checks, in seconds and in answers that count."""

    path: str
    interval_sec: int
    timeout_sec: int
    healthy_threshold: int
    unhealthy_threshold: int

    @property
    def notice_sec(self) -> int:
        """Return the longest time until a machine that says no counts as unhealthy.

        A change just after a probe is seen by the next ones, an interval apart; the last may take its time-out.
        """
        return self.interval_sec * self.unhealthy_threshold + self.timeout_sec


# The balancer's: fast, or a Spot machine would be gone before the balancer looks away.
READINESS = Probe("/readyz", interval_sec=3, timeout_sec=2, healthy_threshold=2, unhealthy_threshold=2)
# Autohealing's: slow and shallow, or a busy machine would be replaced when it is needed most.
LIVENESS = Probe("/healthz", interval_sec=15, timeout_sec=10, healthy_threshold=1, unhealthy_threshold=4)


def read() -> tuple[str, ...]:
    """Return the flags of `docker run`, in the file's order."""
    lines = FILE.read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def stop_timeout_sec() -> int:
    """Return the seconds that the container gets between SIGTERM and SIGKILL."""
    return int(_value("--stop-timeout"))


def memory_bytes() -> int:
    """Return the memory that the container may use."""
    text = _value("--memory")
    return int(text[:-1]) * _UNITS[text[-1].lower()]


def processes() -> int:
    """Return how many processes and threads the container may have."""
    return int(_value("--pids-limit"))


def _value(flag: str) -> str:
    return next(line.split("=", 1)[1] for line in read() if line.startswith(f"{flag}="))
