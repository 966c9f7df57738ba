"""Does the server's memory stay where it is? An hour's pictures of all sizes, and its memory along the way."""

from __future__ import annotations

import io
import itertools
import math
import random
from collections import Counter
from typing import Any

from PIL import Image

from loadtest.bench.started import Running, Say
from loadtest.measure import machine
from loadtest.measure.clients import Call, Connection, closed_loop


def measure(
    running: Running, large: bytes, requests: int, say: Say, warm_up: int = 1000, sec: float = 1.0
) -> dict[str, Any]:
    """Send `requests` pictures of all sizes, `sec` seconds at a time; returns the memory along the way.

    `growth` is the highest after the warm-up beside what it was then: 0.01 is 1 %.
    """
    bodies = itertools.cycle([running.request(picture) for picture in _all_sorts(large)])
    statuses: Counter[int] = Counter()

    def call() -> int:
        """Send the next one over a connection of its own, as browsers and scripts do."""
        connection = Connection(running.server.port, next(bodies))
        try:
            return connection()
        finally:
            connection.close()

    def send(until: int) -> float:
        callers: list[Call] = [call] * 4
        while statuses.total() < until:
            statuses.update(closed_loop(callers, sec).statuses())
        return running.server.memory_mb()

    first, along = send(warm_up), []
    for step in range(1, 21):
        along.append(send(warm_up + (requests - warm_up) * step // 20))
        say(f"Memory after {statuses.total()} requests: {along[-1]:.0f} MB (after {warm_up}: {first:.0f} MB)")
    return {
        "machine": machine.describe(),
        "requests": statuses.total(),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "first_mb": first,
        "along_mb": along,
        "growth": max(along) / first - 1,
    }


def _all_sorts(large: bytes) -> list[bytes]:
    """Return pictures from 1 KB to 12 megapixels in several formats, and what is none."""
    photo = Image.open(io.BytesIO(large)).convert("RGB")
    rng = random.Random(0)  # noqa: S311  # sizes, no secret
    made = []
    for index in range(40):
        width = round(math.exp(rng.uniform(math.log(48), math.log(1600))))
        picture = photo.resize((width, max(1, width * 3 // 4)))
        format_name = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")[index % 8]
        if index % 11 == 5 and format_name == "PNG":
            picture.putalpha(128)
        picture.save(file := io.BytesIO(), format_name)
        made.append(file.getvalue())
    return [*made, large, made[0][:500], b"not a picture"]
