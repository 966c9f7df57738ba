"""Who is compared: ours with every engine, the plain service of tutorials, and peers that are installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.bench.clients import PATH
from service.model.engines.table import ENGINES, NETWORK_FILES

PLAIN = "plain"
OURS, OURS_FP32 = "openvino int8", "ncnn fp32"  # what ENGINE=auto chooses


@dataclass(frozen=True)
class Contender:
    """How to start a server: the command (with {port} in it), its environment, and how to tell that it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str | None = "/readyz"  # where it has none, it is ready when it answers a picture
    needs: str | None = None  # a package; without it the contender is left out
    as_json: bool = False  # it takes no raw bodies
    path: str = PATH  # where it takes pictures
    colour: str = "#5f6368"


@dataclass(frozen=True)
class _Peer:
    package: str
    colour: str
    as_json: bool = False
    path: str = PATH


# By their module in loadtest.bench.peers.
_PEERS = {
    "litserve": _Peer("litserve", "#188038", as_json=True),
    "mosec": _Peer("mosec", "#9334e6"),
    "bentoml": _Peer("bentoml", "#00838f"),
    "ray": _Peer("ray", "#a0522d"),
    "torchserve": _Peer("ts", "#d01884", path="/predictions/classifier"),
}
_ENGINE_COLOURS = ("#0b57d0", "#e37400", "#1f2937", "#b3261e", "#6a5acd")


def contenders(bundle: Path) -> list[Contender]:
    """Return everyone who can be started here with the networks in `bundle`."""
    python = sys.executable
    ours = {
        "MODEL_DIR": str(bundle),
        "DRAIN_SEC": "0",
        "KEEPALIVE_SEC": "620",  # as behind a balancer: no client meets a connection that is just being closed
        "LOG_LEVEL": "warning",
        "HOST": "127.0.0.1",
        "PORT": "{port}",
    }
    everyone = [Contender(PLAIN, [python, "-m", "loadtest.bench.plain", "{port}"], ready_path=None, colour="#8a8f98")]
    for number, (engine, spec) in enumerate(ENGINES.items()):
        everyone += [
            Contender(
                f"{engine} {precision}",
                [python, "-m", "service", "serve"],
                {**ours, "ENGINE": engine, "PRECISION": precision},
                colour=_ENGINE_COLOURS[number % len(_ENGINE_COLOURS)],
            )
            for precision in spec.networks
        ]
    everyone += [
        Contender(
            f"{name} int8",
            [python, "-m", f"loadtest.bench.peers.{name}", "{port}", str(bundle / NETWORK_FILES["int8"])],
            ready_path=None,
            needs=peer.package,
            as_json=peer.as_json,
            path=peer.path,
            colour=peer.colour,
        )
        for name, peer in _PEERS.items()
    ]
    return [item for item in everyone if item.needs is None or importlib.util.find_spec(item.needs)]
