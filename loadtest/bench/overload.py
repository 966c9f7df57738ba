"""What becomes of a server that gets ten times what it can do: goodput, the accepted ones' latency, the refusals'."""

from __future__ import annotations

import threading
import time

from loadtest.bench.result import Overload
from loadtest.bench.started import Running, known
from loadtest.measure.answers import Outcome
from loadtest.measure.clients import TIMEOUT_SEC, open_loop
from loadtest.plan.schedule import Phase, Scenario, arrivals

RATED_SHARE, FACTOR = 0.7, 10  # of what 16 clients got out of it just before; times that
_PROBE_INTERVAL_SEC = 0.1


def measure(running: Running, picture: bytes, rated_per_sec: float, seconds: float) -> Overload:
    """Offer the rated load, then ten times that, each for `seconds`; returns what came of both."""
    server, request = running.server, running.request(picture)
    pids = server.pids()
    rated = open_loop(server.port, request, _poisson(rated_per_sec, seconds), seconds)
    probes: list[float] = []
    done = threading.Event()

    def probe() -> None:
        while not done.wait(_PROBE_INTERVAL_SEC):
            began = time.perf_counter()
            status, _ = server.get("/readyz")
            probes.append(time.perf_counter() - began if status == 200 else TIMEOUT_SEC)

    prober = threading.Thread(target=probe)
    prober.start()
    over = open_loop(server.port, request, _poisson(FACTOR * rated_per_sec, seconds), seconds)
    done.set()
    prober.join()
    return {
        "rated_per_sec": rated_per_sec,
        "rated_p99_ms": known(rated.quantile_ms(0.99)),
        "offered_per_sec": len(over.sent) / over.seconds,
        "goodput_to_rated": over.rate() / max(rated.rate(), 1e-9),
        "accepted_p99_ms": known(over.quantile_ms(0.99)),
        "refused": len(over.of(Outcome.REFUSED)),
        "refused_p99_ms": known(over.quantile_ms(0.99, Outcome.REFUSED)),
        "lost": {str(status): count for status, count in over.statuses().items() if status not in (200, 429)},
        "probes_max_ms": 1000 * max(probes) if probes else None,
        "workers_kept": server.pids() == pids,
    }


def _poisson(per_sec: float, seconds: float) -> list[float]:
    """Return random moments as the load test has them: those of clients who know nothing of one another."""
    scenario = Scenario("", "", (Phase("", seconds, per_sec),), "poisson")
    return [arrival.due_sec for arrival in arrivals(scenario)]
