"""The processors: how many this process may really use, and which of its threads go first.

A container that is limited to two CPUs on a 64-core machine sees 64 in `os.cpu_count()`; 64 inference threads on
two CPUs wait for one another most of the time. So the affinity mask and the cgroup quota count.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import sys
import threading
from pathlib import Path

log = logging.getLogger("service")


def available_cpus(cgroup_root: Path = Path("/sys/fs/cgroup"), process_file: Path = Path("/proc/self/cgroup")) -> int:
    """Return the number of processors that this process may use, at least 1.

    The smaller of the affinity mask's size and the cgroup quota, rounded up: 1.5 CPUs are worth two threads.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS has neither affinity masks nor cgroups; a sandbox may forbid the call
        count = os.cpu_count() or 1
    quota = _cgroup_quota(cgroup_root, process_file)
    return max(1, min(count, math.ceil(quota)) if quota else count)


def _cgroup_quota(root: Path, process_file: Path) -> float | None:
    """Return the tightest CPU quota on the way from the root to this process's cgroup, in CPUs, or None."""
    quotas = []
    for folder in _cgroup_folders(root, process_file):
        try:
            if (folder / "cpu.max").exists():  # cgroup v2: "200000 100000" or "max 100000"
                quota, period = (folder / "cpu.max").read_text().split()
            else:  # cgroup v1: -1 where there is no limit
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            if quota != "max" and float(quota) > 0:
                quotas.append(float(quota) / float(period))
        except (OSError, ValueError):
            continue  # no limit is set at this level, or this kernel describes it in another way
    return min(quotas, default=None)


def _cgroup_folders(root: Path, process_file: Path) -> list[Path]:
    """List the folders that may hold a limit: a limit on any ancestor binds its descendants too."""
    folders = [root, root / "cpu"]
    try:
        lines = process_file.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = root / "cpu" if controllers else root
        for part in Path(path.lstrip("/")).parts:
            folder = folder / part
            folders.append(folder)
    return folders


_COMPUTING_NICENESS = 10


def lower_thread_priority() -> None:
    """Let the threads that answer clients go before the current one, and before those that it will start.

    Called in threads that compute. A probe or a refusal needs a processor for a fraction of a millisecond; without
    this it waits for those that hold one for ten. Where the system forbids it, all go on alike, and the log says so
    once.
    """
    if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
        thread = threading.get_native_id()
        try:
            niceness = min(19, os.getpriority(os.PRIO_PROCESS, thread) + _COMPUTING_NICENESS)
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
        except OSError as error:
            _say_that_priority_stays(error.strerror)


@functools.cache
def _say_that_priority_stays(reason: str) -> None:
    log.warning(
        "threads that compute keep the usual priority (setpriority: %s): under load, probes and refusals may wait for "
        "them. systemd's SystemCallFilter=setpriority allows it",
        reason,
    )
