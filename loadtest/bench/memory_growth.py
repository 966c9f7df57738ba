"""Does the server's memory stay where it is? An hour's pictures of all sizes, and its memory along the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from loadtest.bench.clients import Connection, closed_loop
from loadtest.bench.pictures import encode, photograph
from loadtest.bench.result import MemoryGrowth
from loadtest.bench.servers import Server

WARM_UP = 1000
_CLIENTS = 4
_STEPS = 20


def pictures() -> list[bytes]:
    """Return pictures from 1 KB to 12 megapixels in several formats, in the proportions in which they are sent."""
    photo = photograph()
    made = []
    rng = np.random.default_rng(0)
    for index in range(40):
        width = int(np.exp(rng.uniform(np.log(48), np.log(1600))))
        picture = photo.resize((width, max(1, width * 3 // 4)))
        format_name = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")[index % 8]
        if index % 11 == 5 and format_name == "PNG":
            picture.putalpha(128)
        made.append(encode(picture, format_name))
    made += [encode(photo.resize((4000, 3000)), "JPEG"), made[0][:500], b"not a picture"]
    return made


class _Mixed:
    """Sends the next picture at each call, each over a connection of its own, as browsers and scripts do."""

    def __init__(self, port: int, order: Iterator[bytes]) -> None:
        self._port = port
        self._order = order

    def __call__(self) -> int:
        connection = Connection(self._port, next(self._order))
        try:
            return connection()
        finally:
            connection.close()


def measure(
    server: Server, requests: int, say: Callable[[str], None], warm_up: int = WARM_UP, slice_sec: float = 1.0
) -> MemoryGrowth:
    """Send `requests` mixed pictures, `slice_sec` at a time, and return the memory along the way."""
    order = itertools.cycle(pictures())
    callers = [_Mixed(server.port, order) for _ in range(_CLIENTS)]
    sent = 0
    statuses: dict[int, int] = {}

    def send(count: int) -> None:
        nonlocal sent
        goal = sent + count
        while sent < goal:
            samples = closed_loop(callers, slice_sec)
            sent += samples.count
            for status, values in samples.latencies.items():
                statuses[status] = statuses.get(status, 0) + len(values)

    send(warm_up)
    first = server.memory_mb()
    along = []
    for _ in range(_STEPS):
        send((requests - warm_up) // _STEPS)
        along.append(server.memory_mb())
        say(f"Memory after {sent} requests: {along[-1]:.0f} MB (after the first {warm_up}: {first:.0f} MB)")
    return {
        "requests": sent,
        "statuses": {str(key): value for key, value in sorted(statuses.items())},
        "first_mb": first,
        "along_mb": along,
        "growth": max(along) / first - 1,
    }
