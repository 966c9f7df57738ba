"""Builds the networks and runs them in turn."""

from __future__ import annotations

import contextlib
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.build.compare.result import Result
from service.build.compare.worker import Turn, Worker
from service.build.reporter import Reporter
from service.errors import ServiceError
from service.model.bundle import Bundle
from service.model.engines import choose, networks
from service.model.engines.table import PRECISIONS
from service.model.networks import NETWORKS, Network
from service.model.processors import available_cpus


@dataclass(frozen=True)
class Built:
    """A bundle of a row: of its own weights or, where they cannot be had, of random ones."""

    bundle: Bundle
    weights_here: bool


Build = Callable[[Network], Built]
Failures = list[tuple[str, str]]  # what, and why in a sentence


def rows() -> list[Network]:
    """Return the networks that are for the same task: those of ImageNet whose accuracy was published."""
    return [network for network in NETWORKS if network.architecture and network.top1_percent is not None]


def title(network: Network) -> str:
    """Return what a person would ask for."""
    return network.weights if network.weights == "lite0" else f"{network.weights} {network.architecture}"


def build_with(folder: Path, pictures: Path | None, report: Reporter) -> Build:
    """Return what builds a row in a folder of its own below `folder`, or takes the bundle that is there."""
    from service.build.builder import build
    from service.build.download import Unreachable
    from service.build.options import Options, reusable

    def made(network: Network, weights: str) -> Bundle:
        options = Options(
            output=folder / f"{weights}-{network.architecture}",
            weights=weights,
            architecture=network.architecture,
            calibration=pictures,
        )
        # What was calibrated and judged with other pictures tells nothing of these.
        return (None if pictures else reusable(options)) or build(options, report)

    def build_row(network: Network) -> Built:
        try:
            return Built(made(network, network.weights), weights_here=True)
        except Unreachable as error:
            report.say(f"{title(network)}: {error}. Going on with random parameters, which are as fast.")
            return Built(made(network, "untrained"), weights_here=False)

    return build_row


def compare(
    networks_to_run: Sequence[Network], build: Build, rounds: int, seconds: float, report: Reporter
) -> tuple[list[Result], Failures]:
    """Build and measure each network in each precision, in `rounds` rounds of `seconds` for each, in random order.

    What cannot be built or run is among the failures, and the others go on.
    """
    failures: Failures = []

    def fail(network: Network, precision: str, error: ServiceError) -> None:
        failures.append((f"{title(network)} {precision.upper()}", str(error)))

    built: list[tuple[Network, Built]] = []
    for number, network in enumerate(networks_to_run, 1):
        report.say(f"Network {number} of {len(networks_to_run)}: {title(network)}")
        try:
            built.append((network, build(network)))
        except (ServiceError, OSError) as error:
            failures.append((title(network), str(error)))
    with contextlib.ExitStack() as stack:
        workers: list[tuple[Network, Built, str, Worker, list[Turn]]] = []
        for network, found in built:
            for precision in PRECISIONS:
                try:
                    worker = stack.enter_context(Worker(found.bundle, precision))
                    workers.append((network, found, precision, worker, []))
                except ServiceError as error:
                    fail(network, precision, error)
        order = random.Random(0)  # noqa: S311  # of turns
        with report.progress("Measuring", rounds * len(workers)) as step:
            for _ in range(rounds):
                for one in order.sample(workers, len(workers)):
                    network, _, precision, worker, turns = one
                    try:
                        turns.append(worker.turn(seconds))
                    except ServiceError as error:
                        fail(network, precision, error)
                        workers.remove(one)
                    step()
        results = []
        for network, found, precision, worker, turns in workers:
            try:
                results.append(_result(network, found, precision, worker, turns))
            except ServiceError as error:
                fail(network, precision, error)
        return results, failures


def _result(network: Network, built: Built, precision: str, worker: Worker, turns: list[Turn]) -> Result:
    manifest = built.bundle.manifest
    files = networks(choose(built.bundle, "auto", precision)[0], precision)
    counted = (manifest.accuracy or {}).get(precision) if built.weights_here else None
    published = None if network.top1_percent is None else network.top1_percent / 100
    return Result(
        network=title(network),
        precision=precision,
        engine=worker.engine,
        weights_here=built.weights_here,
        refused=built.weights_here and precision == "int8" and manifest.default_precision != "int8",
        pictures_per_sec=statistics.median(turn.pictures_per_sec for turn in turns),
        lone_ms=statistics.median(turn.lone_ms for turn in turns),
        memory_mb=worker.memory_mb(),
        size_mb=sum(manifest.files[manifest.networks[name]]["bytes"] for name in files) / 1e6,
        accuracy=published if counted is None else counted,
        measured=counted is not None,
        processors=available_cpus(),
    )
