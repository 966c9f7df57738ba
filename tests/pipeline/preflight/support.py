"""Stacks to look at, what Google says of a new project, and how to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from infra.settings import Settings
from pipeline import preflight
from pipeline.preflight.findings import Severity
from tests.pipeline.google import Google

SETTINGS = Settings("dev", "my-project", "us-central1", allowlist=("203.0.113.7/32",))
PROD = replace(
    SETTINGS,
    stack="prod",
    machine_type="t2d-standard-2",
    on_demand_min=2,
    on_demand_max=6,
    spot_max=6,
    https=True,
    domains=("classify.example.com",),
)
SINGLE = replace(SETTINGS, topology="single")
OUTPUTS = {"addresses": {"ipv4": "203.0.113.9"}, "image": "x@sha256:1"}

# A new project's limits, as `gcloud compute regions describe us-central1` and `project-info describe` print them
# (GoogleCloudPlatform/pubsec-declarative-toolkit#590; E2, C3 and T2D as others report them).
IN_REGION = {
    "CPUS": 24,
    "DISKS_TOTAL_GB": 4096,
    "STATIC_ADDRESSES": 8,
    "IN_USE_ADDRESSES": 8,
    "SSD_TOTAL_GB": 500,
    "INSTANCES": 24,
    "PREEMPTIBLE_CPUS": 0,
    "N2_CPUS": 8,
    "E2_CPUS": 24,
    "T2D_CPUS": 24,
    "C3_CPUS": 24,
}
IN_PROJECT = {"CPUS_ALL_REGIONS": 32, "NETWORKS": 5, "STATIC_ADDRESSES": 8, "SECURITY_POLICIES": 10}


def limits(known: Mapping[str, int], usage: Mapping[str, int] | None = None, **other: int) -> dict[str, Any]:
    """Return a region or project as gcloud describes it."""
    used = usage or {}
    return {
        "name": "us-central1",
        "quotas": [
            {"limit": float(limit), "metric": metric, "usage": float(used.get(metric, 0))}
            for metric, limit in {**known, **other}.items()
        ],
    }


def no_records(name: str, kind: str) -> list[str]:
    return []


def look(
    google: Google,
    settings: Settings = SETTINGS,
    outputs: Mapping[str, Any] | None = None,
    records: Mapping[tuple[str, str], list[str]] | None = None,
) -> preflight.Report:
    answers = records or {}
    return preflight.look(settings, outputs or {}, google, lambda name, kind: answers.get((name, kind), []))


def only(report: preflight.Report, severity: Severity) -> str:
    (sentence,) = report.of(severity)
    return sentence
