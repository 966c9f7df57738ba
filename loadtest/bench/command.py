"""What `python -m loadtest.bench` does around the measurements: the model, the files, the messages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from loadtest.bench import goals, memory_growth, pictures, report
from loadtest.bench.contenders import OURS, contenders
from loadtest.bench.result import Result
from loadtest.bench.run import Schedule, run
from loadtest.bench.servers import Server
from loadtest.measure import machine
from service.errors import ServiceError
from service.model import bundle
from service.model.engines.table import NETWORK_FILES

UNTRAINED = Path("models/untrained")
ERRORS = (ServiceError, RuntimeError)


def untrained(say: Callable[[str], None], path: Path = UNTRAINED) -> Path:
    """Return the bundle of the full-size network with random parameters, built where it is not there yet.

    Raises:
        RuntimeError: it cannot be built; the build has said why.
    """
    try:
        manifest = bundle.read(path).manifest
        complete = manifest.weights.name == "untrained" and set(manifest.networks) == set(NETWORK_FILES)
    except ServiceError:
        complete = False
    if not complete:
        say(f"Building {path}")
        options = ["--weights", "untrained", "--torchscript", "--output", str(path)]
        done = subprocess.run([sys.executable, "-m", "service", "build", *options], check=False)
        if done.returncode:
            raise RuntimeError(f"{path} cannot be built")
    return path


def everything(path: Path, rounds: int, output: Path, say: Callable[[str], None]) -> str:
    """Measure everyone, save JSON, PNG and HTML in `output`, return the table."""
    result = run(path, Schedule(rounds=rounds), say)
    save(result, output)
    say(f"Saved in {output}: bench.json, bench.png, bench.html")
    return report.table(result)


def save(result: Result, output: Path) -> None:
    """Write JSON, PNG and HTML."""
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "bench.json", {**result, "goals": goals.verdicts(result)})
    (output / "bench.png").write_bytes(report.plot(result))
    (output / "bench.html").write_text(report.page(result), "utf-8")


def memory(path: Path, requests: int, output: Path, say: Callable[[str], None]) -> str:
    """Measure the memory over many requests, save it, return it in words."""
    server = Server(next(item for item in contenders(path) if item.name == OURS))
    try:
        server.wait_until_ready(pictures.make()["small"])
        result = memory_growth.measure(server, requests, say)
    finally:
        server.stop()
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "memory.json", {"machine": machine.describe(), **result})
    return (
        f"{result['requests']} requests {result['statuses']}: {result['first_mb']:.0f} MB after the first "
        f"{memory_growth.WARM_UP}, at most {max(result['along_mb']):.0f} MB after that: growth {result['growth']:+.1%}"
    )


def _write(file: Path, document: Mapping[str, object]) -> None:
    file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
