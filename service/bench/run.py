"""The whole measurement: everyone started, everyone asked in turn, round by round, and the figures by name."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from service import images
from service.bench import machine, overload, pictures
from service.bench.ceilings import Ceiling
from service.bench.clients import Outcome, closed_loop
from service.bench.servers import Contender, Server, contenders

CLIENTS = (1, 2, 4, 16, 64)
STARTS = 3
OURS, OURS_FP32 = "openvino int8", "ncnn fp32"  # what ENGINE=auto chooses
_ROUND_SEC = 1.5
_WARM_UP_SEC = 0.7
_OVERLOAD_SEC = 20.0

Say = Callable[[str], None]


def run(bundle: Path, rounds: int, say: Say) -> dict[str, Any]:
    """Measure everyone with the networks of `bundle`; returns everything that was found, ready for JSON."""
    sent = pictures.make()
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "rounds": rounds,
        "picture_bytes": {name: len(data) for name, data in sent.items()},
        "bundle": str(bundle),
    }
    servers: list[Server] = []
    try:
        result["start_sec"] = start(contenders(bundle), sent["small"], servers, say)
        result["models"] = {server.name: server.model() for server in servers}
        ceilings = [Ceiling(bundle, precision) for precision in ("int8", "fp32")]
        result["rates"], result["latencies_ms"], result["refused"] = {}, {}, {}
        for number in range(rounds):
            say(
                f"Round {number + 1} of {rounds}: {len(servers)} servers, {len(CLIENTS)} numbers of clients, 3 pictures"
            )
            _round(result, servers, ceilings, sent)
        result["memory_mb"] = {server.name: server.memory_mb() for server in servers}
        ours = next(server for server in servers if server.name == OURS)
        say(f"Overload: {OURS} at {overload.FACTOR} times its rated load")
        most = statistics.median(result["rates"][OURS]["small 16"])
        result["overload"] = overload.measure(ours, sent["small"], most, _OVERLOAD_SEC)
    finally:
        for server in servers:
            server.stop()
    result["decoding"] = compare_decoding(sent["large"], 3 * rounds)
    return result


def start(those: Sequence[Contender], picture: bytes, servers: list[Server], say: Say) -> dict[str, float]:
    """Start everyone `STARTS` times, the last time for good and into `servers`; returns the median seconds by name.

    A peer that does not start is left out: its installation is not this project's.

    Raises:
        RuntimeError: one that needs nothing else does not start.
    """
    found = {}
    for contender in those:
        say(f"Starting {contender.name}, {STARTS} times")
        try:
            seconds = [_start(contender, picture, servers) for _ in range(STARTS)]
        except RuntimeError as error:
            if contender.needs is None:
                raise
            say(f"Left out: {error}")
            continue
        found[contender.name] = statistics.median(seconds)
        _ask(servers[-1], picture, 4, _WARM_UP_SEC)
    return found


def _start(contender: Contender, picture: bytes, servers: list[Server]) -> float:
    """Start a contender, in `servers` instead of what ran before of it; returns the seconds until it was ready."""
    if servers and servers[-1].name == contender.name:
        servers.pop().stop()
    servers.append(Server(contender))
    try:
        return servers[-1].wait_until_ready(picture)
    except RuntimeError:
        servers.pop().stop()
        raise


def _round(result: dict[str, Any], servers: list[Server], ceilings: list[Ceiling], sent: dict[str, bytes]) -> None:
    for clients in CLIENTS:
        for server in servers:
            _note(result, server.name, f"small {clients}", _ask(server, sent["small"], clients, _ROUND_SEC))
    for name in ("large", "png"):
        for server in servers:
            _note(result, server.name, f"{name} 1", _ask(server, sent[name], 1, _ROUND_SEC))
    for ceiling in ceilings:
        _note(result, f"loop {ceiling.precision}", "small 16", closed_loop(ceiling.loop(sent["small"]), _ROUND_SEC))
        _note(result, f"engine {ceiling.precision}", "small 16", closed_loop(ceiling.engine(), _ROUND_SEC))


def _ask(server: Server, picture: bytes, clients: int, seconds: float) -> Outcome:
    connections = server.connections(picture, clients)
    try:
        return closed_loop(connections, seconds)
    finally:
        for connection in connections:
            connection.close()


def _note(result: dict[str, Any], name: str, case: str, outcome: Outcome) -> None:
    result["rates"].setdefault(name, {}).setdefault(case, []).append(outcome.rate())
    quantiles = [round(1000 * outcome.quantile(q), 3) for q in (0.5, 0.95, 0.99)]
    result["latencies_ms"].setdefault(name, {}).setdefault(case, []).append(quantiles)
    others = outcome.count - len(outcome.latencies.get(200, ()))
    result["refused"].setdefault(name, {}).setdefault(case, []).append(others)


def compare_decoding(data: bytes, rounds: int) -> dict[str, float]:
    """Compare torchvision's preset after a full decode with `images.load`: time and mean difference."""
    from service.modeling.vision import torchvision

    functional = torchvision.transforms.functional

    def full() -> images.Pixels:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        cropped: images.Pixels = np.asarray(functional.center_crop(functional.resize(picture, [256]), [224]))
        return cropped

    def scaled() -> images.Pixels:
        return images.load(data, images.Geometry(), images.Limits())

    times: dict[str, list[float]] = {"full": [], "scaled": []}
    for _ in range(rounds):
        for name, work in (("full", full), ("scaled", scaled)):
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {
        "full_ms": 1000 * statistics.median(times["full"]),
        "scaled_ms": 1000 * statistics.median(times["scaled"]),
        "ratio": statistics.median(a / b for a, b in zip(times["full"], times["scaled"], strict=True)),
        "difference": float(np.abs(full().astype(int) - scaled().astype(int)).mean()),
    }
