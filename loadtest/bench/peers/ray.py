"""Ray Serve: a replica for each processor."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from loadtest.bench.peers.network import NETWORK_VARIABLE, Network


@serve.deployment(num_replicas=os.cpu_count() or 1, ray_actor_options={"num_cpus": 0.5})
class Classifier:
    """The network behind Ray Serve's interface."""

    def __init__(self) -> None:
        self._network = Network()

    async def __call__(self, request: Request) -> dict[str, Any]:
        return self._network.classify(await request.body())


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        log_to_driver=False,
        include_dashboard=False,
        runtime_env={"env_vars": {NETWORK_VARIABLE: os.path.realpath(sys.argv[2]), "PYTHONPATH": os.getcwd()}},  # noqa: PTH109
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Classifier.bind(), route_prefix="/predict")  # type: ignore[attr-defined]  # what the decorator adds
    signal.pause()
