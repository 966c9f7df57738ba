"""Print how large and how quick the production image is, beside the same service on a plain PyTorch image.

    python -m loadtest.bench.image_sizes IMAGE PLAIN_IMAGE      (`make image-compare` builds both and calls it)

IMAGE is the production image. PLAIN_IMAGE is the Dockerfile's stage `plain`: the same service with everything that
tutorials install, started with TorchScript on the bundle in models/resnet18 (built with --torchscript).
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

DOCKER = os.environ.get("DOCKER", "docker")
RUNS = 5
FLAGS = Path(__file__).parents[2] / "container" / "run.flags"
_CHUNK = 1 << 20


def docker(*arguments: str) -> str:
    """Run the client and return its output."""
    return subprocess.run([DOCKER, *arguments], check=True, capture_output=True, text=True).stdout


def unpacked_bytes(image: str) -> int:
    """Return the size of an image's layers on disk."""
    size: int = json.loads(docker("inspect", image))[0]["Size"]
    return size


def compressed_bytes(image: str) -> int:
    """Return about what a registry would store and a machine would pull: the layers through gzip."""

    class Counter:
        total = 0

        def write(self, data: bytes) -> int:
            self.total += len(data)
            return len(data)

    counter = Counter()
    with subprocess.Popen([DOCKER, "save", image], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        with gzip.GzipFile(fileobj=counter, mode="wb", compresslevel=6) as packed:  # type: ignore[call-overload]  # write suffices
            while chunk := process.stdout.read(_CHUNK):
                packed.write(chunk)
    return counter.total


def start(image: str, *options: str, command: tuple[str, ...] = ()) -> tuple[float, float]:
    """Start an image once; returns the seconds to ready and the MB of proportional memory after that."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = ["--env", f"PORT={port}", "--env", "HOST=127.0.0.1", "--env", "DRAIN_SEC=0"]
    flags = [line for line in FLAGS.read_text().splitlines() if line[:1] == "-"]
    began = time.perf_counter()
    name = docker("run", "--detach", "--network", "host", *flags, *settings, *options, image, *command).strip()
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                if time.perf_counter() - began > 120:
                    raise SystemExit(f"{image} is not ready after 120 s:\n{docker('logs', name)}") from None
                time.sleep(0.01)
        seconds = time.perf_counter() - began
        pids = docker("top", name, "-eo", "pid").split()[1:]
        return seconds, sum(_proportional_kb(pid) for pid in pids) * 1024 / 1e6
    finally:
        docker("rm", "--force", name)


def _proportional_kb(pid: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main(image: str, plain: str) -> None:
    """Measure both, alternating, and print the table."""
    bundle = Path("models/resnet18").resolve()
    plain_options = ("--volume", f"{bundle}:/build/models/resnet18:ro", "--env", "ENGINE=torch")
    plain_command = ("/tools/bin/python", "-m", "service", "serve")
    starts: dict[str, list[tuple[float, float]]] = {image: [], plain: []}
    for _ in range(RUNS):
        starts[image].append(start(image))
        starts[plain].append(start(plain, *plain_options, command=plain_command))
    print(f"{'':<24}{'compressed':>12}{'unpacked':>12}{'to ready':>12}{'memory':>12}")
    for name in (image, plain):
        seconds, memory = (statistics.median(values) for values in zip(*starts[name], strict=True))
        print(
            f"{name:<24}{compressed_bytes(name) / 1e6:>9.0f} MB{unpacked_bytes(name) / 1e6:>9.0f} MB"
            f"{seconds:>10.1f} s{memory:>9.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
