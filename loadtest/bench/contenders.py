"""Who is compared, a row each: ours with every engine, lite0, the plain service of tutorials, and installed peers."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.measure.answers import PATH
from service.model.engines.table import ENGINES, NETWORK_FILES

OURS, OURS_FP32 = "openvino int8", "ncnn fp32"  # what ENGINE=auto chooses
LITE0, LITE0_FP32 = "lite0 int8", "lite0 fp32"
PLAIN = "plain"


@dataclass(frozen=True)
class Contender:
    """How to start a server: the command (with {port} in it), its environment, and how to tell that it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    colour: str = "#5f6368"
    ready_path: str | None = "/readyz"  # where it has none, it is ready when it answers a picture
    needs: str | None = None  # a package of someone else's: without it, or where it does not start, it is left out
    as_json: bool = False  # it takes no raw bodies
    path: str = PATH  # where it takes pictures


def _ours(name: str, bundle: Path, engine: str, precision: str, colour: str) -> Contender:
    settings = {
        "MODEL_DIR": str(bundle),
        "ENGINE": engine,
        "PRECISION": precision,
        "DRAIN_SEC": "0",
        "KEEPALIVE_SEC": "620",  # as behind a balancer: no client meets a connection that is just being closed
        "LOG_LEVEL": "warning",
        "HOST": "127.0.0.1",
        "PORT": "{port}",
    }
    return Contender(name, [sys.executable, "-m", "service", "serve"], settings, colour)


# Their module in loadtest.bench.peers, the package that it needs, colour, whether it takes JSON only, and where.
_PEERS = (
    ("mosec", "mosec", "#9334e6", False, PATH),
    ("torchserve", "ts", "#d01884", False, "/predictions/classifier"),
    ("litserve", "litserve", "#188038", True, PATH),
    ("bentoml", "bentoml", "#00838f", False, PATH),
    ("ray", "ray", "#a0522d", False, PATH),
)
_ENGINE_COLOURS = ("#0b57d0", "#e37400", "#1f2937", "#b3261e", "#6a5acd")


def contenders(bundle: Path, lite0: Path | None = None) -> list[Contender]:
    """Return everyone who can be started here with the networks in `bundle`, and in `lite0` where there is one."""
    everyone = [
        _ours(f"{engine} {precision}", bundle, engine, precision, _ENGINE_COLOURS[number % len(_ENGINE_COLOURS)])
        for number, (engine, spec) in enumerate(ENGINES.items())
        for precision in spec.networks
    ]
    if lite0:
        everyone += [_ours(name, lite0, "auto", name.split()[1], "#00a884") for name in (LITE0, LITE0_FP32)]
    for name, package, colour, as_json, path in _PEERS:
        if importlib.util.find_spec(package):
            network = str(bundle / NETWORK_FILES["int8"])
            command = [sys.executable, "-m", f"loadtest.bench.peers.{name}", "{port}", network]
            everyone.append(Contender(f"{name} int8", command, {}, colour, None, package, as_json, path))
    command = [sys.executable, "-m", "loadtest.bench.plain", "{port}"]
    return [*everyone, Contender(PLAIN, command, {}, "#8a8f98", ready_path=None)]
