from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.model.processors import available_cpus


@pytest.fixture(autouse=True)
def _eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def cgroup(tmp_path: Path, files: dict[str, str], process: str) -> tuple[Path, Path]:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "self").write_text(process)
    return tmp_path, tmp_path / "self"


@pytest.mark.parametrize(
    ("files", "process", "expected"),
    [
        ({"cpu.max": "200000 100000\n"}, "0::/\n", 2),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 2),
        ({"cpu.max": "50000 100000\n"}, "0::/\n", 1),
        ({"cpu.max": "max 100000\n"}, "0::/\n", 8),
        ({"cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, "0::/a/b\n", 3),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu,cpuacct:/\n", 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu,cpuacct:/\n", 8),
        ({"cpu.max": "1600000 100000\n"}, "0::/\n", 8),
        ({}, "", 8),
        ({"cpu.max": "garbage"}, "0::/\n", 8),
    ],
)
def test_the_smaller_of_affinity_and_quota_counts(
    tmp_path: Path, files: dict[str, str], process: str, expected: int
) -> None:
    """cgroup v2 and v1, limits of ancestors, fractions rounded up, nothing readable."""
    assert available_cpus(*cgroup(tmp_path, files, process)) == expected


def test_a_machine_without_cgroups_has_its_affinity(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "none", tmp_path / "none") == 8
