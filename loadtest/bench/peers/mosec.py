"""mosec: a front in Rust, workers in Python."""

from __future__ import annotations

import os
import sys
from typing import Any

import mosec

from loadtest.bench.peers.network import NETWORK_VARIABLE, Network


class Classifier(mosec.Worker):
    """The network behind mosec's interface."""

    def __init__(self) -> None:
        super().__init__()
        self._network = Network()

    def deserialize(self, data: bytes) -> bytes:
        """Take the body as it is; the default expects JSON."""
        return data

    def forward(self, data: bytes) -> dict[str, Any]:
        return self._network.classify(data)


if __name__ == "__main__":
    os.environ[NETWORK_VARIABLE] = sys.argv[2]
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", sys.argv[1], "--log-level", "warning"]
    server = mosec.Server()
    server.append_worker(Classifier, num=os.cpu_count() or 1, route="/predict")
    server.run()
