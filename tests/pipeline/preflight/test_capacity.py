"""Machine types and quotas: whether Google has, and grants, the machines that the stack may grow to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.settings import Settings
from pipeline.preflight import quotas
from pipeline.preflight.findings import Severity
from tests.pipeline.google import Google
from tests.pipeline.preflight.support import IN_PROJECT, IN_REGION, OUTPUTS, PROD, SETTINGS, SINGLE, limits, look, only


def test_a_zone_without_the_machine_type_stops_it_and_zones_with_it_are_named(google: Google) -> None:
    having = [{"name": "t2d-standard-2", "zone": f"us-central1-{letter}"} for letter in "abf"]
    google.say("machine-types", out=having)
    assert only(look(google, PROD), Severity.STOP) == (
        "there is no t2d-standard-2 in us-central1-c, only in us-central1-a, us-central1-b, us-central1-f: choose "
        "another machineType, or these zones with `pulumi config set --path 'zones[0]' us-central1-a; pulumi config "
        "set --path 'zones[1]' us-central1-b; pulumi config set --path 'zones[2]' us-central1-f`."
    )


def test_a_region_without_the_machine_type_stops_it(google: Google) -> None:
    google.say("machine-types", out=[])
    assert only(look(google, PROD), Severity.STOP).startswith("there is no t2d-standard-2 in us-central1: choose")


def needs(settings: Settings, spot: int = 0) -> dict[str, tuple[int, int]]:
    known = quotas.read(limits(IN_REGION, PREEMPTIBLE_CPUS=spot))
    return {need.metric: (need.least, need.most) for need in quotas.processors(settings, known)}


@pytest.mark.parametrize(
    ("machine", "metric"),
    [
        ("e2-medium", "E2_CPUS"),
        ("n1-standard-2", "CPUS"),
        ("n2-standard-2", "N2_CPUS"),
        ("t2d-standard-2", "T2D_CPUS"),
        ("c3-standard-4", "C3_CPUS"),
        ("c4-standard-2", ""),  # by family, not in a region's description
    ],
)
def test_each_series_counts_in_its_own_quota(machine: str, metric: str) -> None:
    assert list(needs(replace(SETTINGS, machine_type=machine))) == [metric]


def test_where_e2_has_no_quota_of_its_own_it_counts_as_all_do() -> None:
    known = {metric: quota for metric, quota in quotas.read(limits(IN_REGION)).items() if metric != "E2_CPUS"}
    assert [need.metric for need in quotas.processors(SETTINGS, known)] == ["CPUS"]


def test_spot_machines_count_apart_once_a_quota_for_them_was_granted() -> None:
    # Prod: 2 to 6 on-demand and 1 to 6 Spot machines with 2 processors each, and 3 of each more during an update.
    assert needs(PROD) == {"T2D_CPUS": (6, 36)}
    assert needs(PROD, spot=50) == {"T2D_CPUS": (4, 18), "PREEMPTIBLE_CPUS": (2, 18)}


def test_a_quota_below_the_largest_fleet_and_its_update_warns(google: Google) -> None:
    """A new project's 32 processors do not hold prod: its update would hang at its largest size."""
    google.say("regions", "describe", out=limits(IN_REGION, T2D_CPUS=100, SSD_TOTAL_GB=5000))
    sentence = only(look(google, PROD, records={("classify.example.com", "A"): ["203.0.113.9"]}), Severity.WARN)
    assert sentence.startswith(
        "the quota CPUS_ALL_REGIONS of all regions is 32 with 0 in use, and the largest fleet with an update needs 36"
    )


def test_what_others_use_is_not_there_for_the_stack(google: Google) -> None:
    google.say("regions", "describe", out=limits(IN_REGION, {"E2_CPUS": 23}))
    assert "E2_CPUS of us-central1 is 24 with 23 in use" in only(look(google), Severity.STOP)


def test_machines_of_the_stack_that_run_are_not_counted_against_it(google: Google) -> None:
    google.say("regions", "describe", out=limits(IN_REGION, {"E2_CPUS": 23}))
    assert look(google, SETTINGS, OUTPUTS).of(Severity.STOP) == []


def test_what_is_there_already_is_not_asked_for_again(google: Google) -> None:
    google.say("project-info", out=limits(IN_PROJECT, {"NETWORKS": 5}))
    assert "NETWORKS" in only(look(google), Severity.STOP)
    assert look(google, SETTINGS, {"registry": "x"}).of(Severity.STOP) == []


def test_one_machine_needs_an_address_of_the_region(google: Google) -> None:
    google.say("regions", "describe", out=limits(IN_REGION, IN_USE_ADDRESSES=0))
    assert look(google).of(Severity.STOP) == []
    assert "IN_USE_ADDRESSES" in only(look(google, SINGLE), Severity.STOP)


def test_a_quota_that_only_the_console_shows_is_said(google: Google) -> None:
    sentence = only(
        look(google, replace(SETTINGS, machine_type="c4-standard-2", disk_type="hyperdisk-balanced")), Severity.SKIPPED
    )
    assert "the processors of c4 (CPUS_PER_VM_FAMILY), HDB_TOTAL_GB of us-central1" in sentence


# What a stack has from its foundations on.
FOUNDATIONS = {"registry": "x"}


def test_an_address_that_the_stack_has_is_not_asked_for_again(google: Google) -> None:
    google.say("regions", "describe", out=limits(IN_REGION, STATIC_ADDRESSES=0, IN_USE_ADDRESSES=0))
    assert "STATIC_ADDRESSES" in look(google, SINGLE).of(Severity.STOP)[0]
    assert look(google, SINGLE, FOUNDATIONS).of(Severity.STOP) == []


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (SETTINGS, {"NETWORKS": 1, "STATIC_ADDRESSES": 1, "SECURITY_POLICIES": 1}),
        (
            replace(SETTINGS, allowlist=("203.0.113.7/32", "2001:db8::/32")),
            {"NETWORKS": 1, "STATIC_ADDRESSES": 2, "SECURITY_POLICIES": 1},
        ),
        # One machine's address is the region's, and the firewall is its allowlist.
        (SINGLE, {"NETWORKS": 1}),
    ],
    ids=["fleet", "fleet with IPv6", "single"],
)
def test_what_a_new_stack_needs_of_all_regions(settings: Settings, needed: dict[str, int], google: Google) -> None:
    none = dict.fromkeys(("NETWORKS", "STATIC_ADDRESSES", "SECURITY_POLICIES"), 0)
    google.say("project-info", out=limits({**IN_PROJECT, **none}))
    missing = look(google, settings).of(Severity.STOP)
    assert [sentence.split(" of all regions")[0] for sentence in missing] == [f"the quota {name}" for name in needed]
    assert [int(sentence.split("needs ")[1].split(":")[0]) for sentence in missing] == list(needed.values())


def test_quotas_of_which_none_suffices_are_not_said_to_hold(google: Google) -> None:
    google.say("project-info", out=limits(dict.fromkeys(IN_PROJECT, 0)))
    report = look(google)
    assert len(report.of(Severity.STOP)) == len(IN_PROJECT)
    assert not any("the quotas of all regions" in sentence for sentence in report.of(Severity.GOOD))
