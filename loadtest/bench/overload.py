"""What becomes of a server that gets ten times what it can do: goodput, the accepted ones' latency, the refusals'.

Open loop: requests come at their own random moments whatever the server does. The rated load is a share of what 16
clients got out of the server just before.
"""

from __future__ import annotations

import threading
import time

from loadtest.bench.clients import Samples
from loadtest.bench.open_loop import open_loop
from loadtest.bench.result import Overload
from loadtest.bench.servers import Server

RATED_SHARE = 0.7
FACTOR = 10
_PROBE_INTERVAL_SEC = 0.1


def measure(server: Server, picture: bytes, max_per_sec: float, seconds: float) -> Overload:
    """Run the rated load, then ten times that, each for `seconds`; returns what came of both."""
    rated_per_sec = RATED_SHARE * max_per_sec
    pids = server.pids()
    rated = open_loop(server.port, picture, rated_per_sec, seconds)
    probes: list[float] = []
    done = threading.Event()
    prober = threading.Thread(target=_probe, args=(server, probes, done))
    prober.start()
    over = open_loop(server.port, picture, FACTOR * rated_per_sec, seconds)
    done.set()
    prober.join()
    return {
        "rated_per_sec": rated_per_sec,
        "rated_p50_ms": 1000 * rated.quantile(0.5),
        "rated_p99_ms": 1000 * rated.quantile(0.99),
        "rated_goodput": rated.rate() / rated_per_sec,
        "offered_per_sec": over.count / over.seconds,
        "goodput_to_rated": over.rate() / rated.rate(),
        "accepted_p99_ms": 1000 * over.quantile(0.99),
        "accepted_p99_to_rated": over.quantile(0.99) / rated.quantile(0.99),
        "refused": len(over.latencies.get(429, ())),
        "refused_p99_ms": 1000 * over.quantile(0.99, 429),
        "other": _others(over),
        "probes_max_ms": 1000 * max(probes, default=float("nan")),
        "workers_kept": server.pids() == pids,
    }


def _others(samples: Samples) -> dict[str, int]:
    return {str(status): len(values) for status, values in samples.latencies.items() if status not in (200, 429)}


def _probe(server: Server, seconds: list[float], done: threading.Event) -> None:
    while not done.wait(_PROBE_INTERVAL_SEC):
        began = time.perf_counter()
        status, _ = server.get("/readyz")
        seconds.append(time.perf_counter() - began if status == 200 else float("inf"))
