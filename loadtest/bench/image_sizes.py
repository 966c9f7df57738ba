"""Print how large and how quick the production image is, beside the same service on a plain PyTorch image.

    python -m loadtest.bench.image_sizes IMAGE PLAIN_IMAGE      (`make image-compare` builds both and calls it)

IMAGE is the production image. PLAIN_IMAGE is the Dockerfile's stage `plain`: the same service with everything that
tutorials install, started with TorchScript on the bundle in models/resnet18 (built with --torchscript).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from loadtest.measure.servers import free_port, memory_mb

DOCKER = os.environ.get("DOCKER", "docker")
RUNS = 5
FLAGS = Path(__file__).parents[2] / "container" / "run.flags"
_CHUNK = 1 << 20


def docker(*arguments: str) -> str:
    """Run the client and return its output."""
    return subprocess.run([DOCKER, *arguments], check=True, capture_output=True, text=True).stdout


class _Counter(io.RawIOBase):
    total = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]  # gzip hands out bytes
        self.total += len(data)
        return len(data)


def compressed_bytes(image: str) -> int:
    """Return about what a registry would store and a machine would pull: the layers through gzip."""
    with subprocess.Popen([DOCKER, "save", image], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        with gzip.GzipFile(fileobj=(counter := _Counter()), mode="wb", compresslevel=6) as packed:
            while chunk := process.stdout.read(_CHUNK):
                packed.write(chunk)
    return counter.total


def start(image: str, *options: str, command: tuple[str, ...] = ()) -> tuple[float, float]:
    """Start an image once; returns the seconds to ready and the MB of proportional memory after that."""
    port = free_port()
    settings = ["--env", f"PORT={port}", "--env", "HOST=127.0.0.1", "--env", "DRAIN_SEC=0"]
    flags = [line for line in FLAGS.read_text().splitlines() if line[:1] == "-"]
    began = time.perf_counter()
    name = docker("run", "--detach", "--network", "host", *flags, *settings, *options, image, *command).strip()
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                    break
            except OSError:
                if time.perf_counter() - began > 120:
                    raise SystemExit(f"{image} is not ready after 120 s:\n{docker('logs', name)}") from None
                time.sleep(0.01)
        seconds = time.perf_counter() - began
        return seconds, memory_mb([int(pid) for pid in docker("top", name, "-eo", "pid").split()[1:]])
    finally:
        docker("rm", "--force", name)


def main(image: str, plain: str) -> None:
    """Measure both, alternating, and print the table."""
    bundle = Path("models/resnet18").resolve()
    plain_options = ("--volume", f"{bundle}:/build/models/resnet18:ro", "--env", "ENGINE=torch")
    starts: dict[str, list[tuple[float, float]]] = {image: [], plain: []}
    for _ in range(RUNS):
        starts[image].append(start(image))
        starts[plain].append(start(plain, *plain_options, command=("/tools/bin/python", "-m", "service", "serve")))
    print(f"{'':<24}{'compressed':>12}{'unpacked':>12}{'to ready':>12}{'memory':>12}")
    for name in (image, plain):
        seconds, memory = (statistics.median(values) for values in zip(*starts[name], strict=True))
        sizes = compressed_bytes(name), json.loads(docker("inspect", name))[0]["Size"]
        print(
            f"{name:<24}{sizes[0] / 1e6:>9.0f} MB{sizes[1] / 1e6:>9.0f} MB{seconds:>10.1f} s{memory:>9.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
