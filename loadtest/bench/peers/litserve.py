"""LitServe. It takes JSON or forms, not raw bytes: the picture comes as base64."""

from __future__ import annotations

import base64
import os
import sys
from typing import Any

import litserve

from loadtest.bench.peers.network import NETWORK_VARIABLE, Network


class Classifier(litserve.LitAPI):
    """The network behind LitServe's interface."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe's signature
        self._network = Network()

    def decode_request(self, request: dict[str, str]) -> bytes:
        return base64.b64decode(request["image"])

    def predict(self, data: bytes) -> dict[str, Any]:
        return self._network.classify(data)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    os.environ[NETWORK_VARIABLE] = sys.argv[2]
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=os.cpu_count() or 1)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning")
