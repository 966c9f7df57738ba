"""BentoML: a server of its own command line, so this module starts that with itself."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from loadtest.bench.peers.network import NETWORK_VARIABLE, Network


@bentoml.service(workers=os.cpu_count() or 1)
class Classifier:
    """The network behind BentoML's interface."""

    def __init__(self) -> None:
        self._network = Network()

    @bentoml.api(route="/predict")
    def predict(self, data: Annotated[bytes, ContentType("image/*")], /) -> dict[str, Any]:
        return self._network.classify(data)


if __name__ == "__main__":
    os.environ.update({NETWORK_VARIABLE: sys.argv[2], "BENTOML_DO_NOT_TRACK": "True"})
    command = [
        "bentoml",
        "serve",
        "loadtest.bench.peers.bentoml:Classifier",
        "--host",
        "127.0.0.1",
        "--port",
        sys.argv[1],
    ]
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606  # this interpreter, no shell
