"""TorchServe, which needs Java: a front in Java, workers in Python. This module is its handler and starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from loadtest.bench.peers.network import NETWORK_VARIABLE, Network
from loadtest.measure.servers import free_port

_networks: list[Network] = []


def handle(data: list[dict[str, Any]] | None, context: object) -> list[dict[str, Any]]:  # noqa: ARG001  # TorchServe's signature
    """Load the network at the first call, which comes without data; then classify."""
    if not _networks:
        _networks.append(Network())
    return [_networks[0].classify(bytes(item["body"])) for item in data or ()]


def _main(port: str, network: str) -> None:
    store = Path(tempfile.mkdtemp(prefix="torchserve-"))
    archive = ["--model-name", "classifier", "--version", "1", "--handler", __file__, "--export-path", str(store)]
    subprocess.run([sys.executable, "-m", "model_archiver.model_packaging", *archive], check=True)  # ours
    config = store / "config.properties"
    config.write_text(
        f"inference_address=http://127.0.0.1:{port}\n"
        f"management_address=http://127.0.0.1:{free_port()}\n"
        f"metrics_address=http://127.0.0.1:{free_port()}\n"
        f"default_workers_per_model={os.cpu_count() or 1}\n"
        "disable_token_authorization=true\n"
    )
    os.environ.update(
        {
            NETWORK_VARIABLE: str(Path(network).resolve()),
            "PYTHONPATH": str(Path.cwd()),
            "LOG_LOCATION": str(store),
            "METRICS_LOCATION": str(store),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
    )
    options = ["--start", "--foreground", "--ncs", "--model-store", str(store), "--models", "classifier=classifier.mar"]
    command = [sys.executable, "-m", "ts.model_server", *options, "--ts-config", str(config)]
    os.execv(sys.executable, command)  # noqa: S606  # this interpreter, no shell


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
