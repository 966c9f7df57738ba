"""Machine types by name: their shape, what they can run, which disks they take.

Shapes follow Google's naming, SERIES-CLASS-CPUS, and the memory that each class has per CPU
(https://cloud.google.com/compute/docs/general-purpose-machines, /compute-optimized-machines, read in 2026-11).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Gigabytes of memory per virtual CPU. Only series on which a container for x86-64 runs and that are sold as Spot.
_GB_PER_CPU: dict[str, dict[str, float]] = {
    "e2": {"standard": 4, "highmem": 8, "highcpu": 1},
    "n1": {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9},
    "n2": {"standard": 4, "highmem": 8, "highcpu": 1},
    "n2d": {"standard": 4, "highmem": 8, "highcpu": 1},
    "n4": {"standard": 4, "highmem": 8, "highcpu": 2},
    "t2d": {"standard": 4},
    "c2": {"standard": 4},
    "c2d": {"standard": 4, "highmem": 8, "highcpu": 2},
    "c3": {"standard": 4, "highmem": 8, "highcpu": 2},
    "c3d": {"standard": 4, "highmem": 8, "highcpu": 2},
    "c4": {"standard": 3.75, "highmem": 7.75, "highcpu": 2},
    "c4d": {"standard": 3.875, "highmem": 7.875, "highcpu": 1.875},
}
# Shared cores: virtual CPUs, the CPUs' worth of time that is sustained and billed, gigabytes.
_SHARED = {"e2-micro": (2, 0.25, 1.0), "e2-small": (2, 0.5, 2.0), "e2-medium": (2, 1.0, 4.0)}
_ARM = ("t2a", "c4a", "n4a")
_HYPERDISK_ONLY = ("n4", "c4", "c4d")
_HYPERDISK_NEVER = ("e2", "n1", "t2d", "c2", "c2d", "n2", "n2d")

# The container's limit of processes (container/run.flags) holds the threads of so many.
MAX_CPUS = 384

_SHAPE = re.compile(r"(?P<series>[a-z]\d[a-z]?)-(?P<machine_class>[a-z]+)-(?P<cpus>\d+)")


class UnknownMachineType(ValueError):
    """A machine type that cannot be used; the message is one sentence with its remedy."""


@dataclass(frozen=True)
class Machine:
    """A machine type's shape; `billed_cpus` is below `cpus` for shared cores."""

    name: str
    series: str
    cpus: int
    billed_cpus: float
    memory_gb: float

    def takes(self, disk_type: str) -> bool:
        """Return whether the series boots from this kind of disk."""
        hyperdisk = disk_type.startswith("hyperdisk")
        return self.series not in (_HYPERDISK_NEVER if hyperdisk else _HYPERDISK_ONLY)


def parse(name: str) -> Machine:
    """Return the shape of a machine type.

    Raises:
        UnknownMachineType: with the reason and what to write instead.
    """
    if name in _SHARED:
        cpus, billed, memory = _SHARED[name]
        return Machine(name, "e2", cpus, billed, memory)
    match = _SHAPE.fullmatch(name)
    if not match:
        raise UnknownMachineType(
            f"{name!r} is no machine type: write e2-medium, or SERIES-CLASS-CPUS such as t2d-standard-2."
        )
    series, machine_class, cpus = match["series"], match["machine_class"], int(match["cpus"])
    if series in _ARM:
        raise UnknownMachineType(
            f"{name!r} is an Arm machine and the image is built for x86-64: choose t2d, n2d, c3d or e2."
        )
    if series not in _GB_PER_CPU:
        raise UnknownMachineType(f"{name!r} is of an unknown series: choose one of {', '.join(_GB_PER_CPU)}.")
    if machine_class not in _GB_PER_CPU[series]:
        existing = ", ".join(f"{series}-{machine_class}-{cpus}" for machine_class in _GB_PER_CPU[series])
        raise UnknownMachineType(f"{name!r} does not exist in the series {series}: choose {existing}.")
    if not 1 <= cpus <= MAX_CPUS or (cpus > 1 and cpus % 2 and series != "c4"):
        raise UnknownMachineType(
            f"{name!r} cannot have {cpus} CPUs: choose an even number such as {series}-{machine_class}-2."
        )
    return Machine(name, series, cpus, cpus, cpus * _GB_PER_CPU[series][machine_class])
