"""What `python -m service bench` does around the measurements: the model, the files, the messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service import bundle
from service.bench import machine, pictures, report
from service.bench import memory as growth
from service.bench.run import OURS, run
from service.bench.servers import Server, contenders
from service.errors import ServiceError
from service.modeling.build import Options, Reporter, build

UNTRAINED = Path("models/untrained")


def untrained(reporter: Reporter) -> Path:
    """Return the bundle of the full-size network with random parameters, built where it is not there yet."""
    try:
        found = bundle.read(UNTRAINED).manifest
        complete = found.weights.name == "untrained" and set(found.networks) == set(bundle.NETWORKS)
    except ServiceError:
        complete = False
    if not complete:
        build(Options(output=UNTRAINED, weights="untrained", torchscript=True), reporter)
    return UNTRAINED


def everything(path: Path, rounds: int, output: Path, say: Callable[[str], None]) -> str:
    """Measure everyone, save JSON, PNG and HTML in `output`, return the table."""
    result = run(path, rounds, say)
    output.mkdir(parents=True, exist_ok=True)
    _save(output / "bench.json", result)
    (output / "bench.png").write_bytes(report.plot(result))
    (output / "bench.html").write_text(report.page(result), "utf-8")
    say(f"Saved in {output}: bench.json, bench.png, bench.html")
    return report.table(result)


def memory(path: Path, requests: int, output: Path, say: Callable[[str], None]) -> str:
    """Measure the memory over many requests, save it, return what was found."""
    server = Server(next(item for item in contenders(path) if item.name == OURS))
    try:
        server.wait_until_ready(pictures.make()["small"])
        result = growth.measure(server, requests, say)
    finally:
        server.stop()
    output.mkdir(parents=True, exist_ok=True)
    _save(output / "memory.json", {"machine": machine.describe(), **result})
    return (
        f"{result['requests']} requests {result['statuses']}: {result['first_mb']:.0f} MB after the first "
        f"{growth.WARM_UP}, at most {max(result['along_mb']):.0f} MB after that: growth {result['growth']:+.1%}"
    )


def _save(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
