"""What the service needs fits into what the stack gives it, on every machine that the stack takes."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from infra import container, machines
from infra.settings import Settings as StackSettings
from service.model import images
from service.serve.capacity import Capacity
from service.settings import Settings


def machine_types() -> list[machines.Machine]:
    """Return every machine type that the stack takes."""
    names = [
        f"{series}-{kind}-{cpus}"
        for series, kinds in machines._GB_PER_CPU.items()
        for kind in kinds
        for cpus in range(1, 2 * machines.MAX_CPUS)
    ]
    found = []
    for name in itertools.chain(machines._SHARED, names):
        with contextlib.suppress(machines.UnknownMachineType):
            found.append(machines.parse(name))
    return found


def test_every_thread_of_a_server_fits_into_the_containers_limit() -> None:
    """A thread that cannot be started would end gunicorn's event loop."""
    queue_size = Settings().queue_size
    needed = {machine.name: Capacity(machine.cpus, queue_size).processes for machine in machine_types()}
    assert len(needed) > 1000
    assert max(machine.cpus for machine in machine_types()) == machines.MAX_CPUS
    assert {name: count for name, count in needed.items() if count > container.processes()} == {}
    # It is there to stop what starts processes without end.
    assert container.processes() < 1.1 * max(needed.values())


def test_the_worst_that_clients_can_make_a_server_hold_fits_into_the_containers_memory() -> None:
    """Pictures in decoding and bodies at once, above what the server has itself (docs/container.md)."""
    own_bytes = 190_000_000
    decoding = images.DECODING_PIXELS * images.BYTES_PER_PIXEL
    # A body may be there twice: as it came, and as it is decoded.
    assert own_bytes + decoding + 2 * Settings().max_in_flight_bytes < container.memory_bytes()
    assert 2 * Settings().max_decoded_pixels <= images.DECODING_PIXELS


@pytest.mark.parametrize("topology", ["fleet", "single"])
def test_the_stack_leaves_the_service_its_own_capacity(topology: str) -> None:
    """So that no setting of the stack makes a server that needs more."""
    given = StackSettings("dev", "my-project", "europe-west1", topology=topology).environment
    assert not {"QUEUE_SIZE", "THREADS"} & set(given)
