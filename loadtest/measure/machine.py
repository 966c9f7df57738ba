"""This machine, in words: where the load came from, and where the service ran if it ran here too."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

import psutil

# What decides how fast a network runs.
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm")
_PACKAGES = ("gunicorn", "flask", "openvino", "onnxruntime", "ncnn", "torch", "torchvision", "numpy", "pillow")


class Machine(TypedDict):
    """A machine as results have it."""

    processor: str
    flags: list[str]
    cpus: int | None
    memory_gb: float
    system: str
    python: str
    commit: str


def describe() -> Machine:
    """Return processor, processors that this process may use, memory, system, Python and commit."""
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "flags": [flag for flag in _FLAGS if flag in (_cpuinfo("flags") or _cpuinfo("Features")).split()],
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
    }


def packages() -> dict[str, str]:
    """Return the versions of the packages that serve, as far as they are installed."""
    return {name: installed for name in _PACKAGES if (installed := _version(name))}


def in_words(machine: Machine) -> str:
    """Return the machine in one line."""
    flags = f" ({', '.join(machine['flags'])})" if machine["flags"] else ""
    return f"{machine['processor']}{flags}, {machine['cpus']} CPUs, {machine['memory_gb']:g} GB, {machine['system']}"


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # macOS
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
