"""When the fleet counts as updated and healthy, by Google's own word; time is a fake clock's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline import machines
from pipeline.errors import StepFailed
from tests.pipeline.conftest import PROJECT, REGION, Tools

Machine = dict[str, Any]


def machine(name: str, *, action: str = "NONE", status: str = "RUNNING", health: str | None = "HEALTHY") -> Machine:
    checks = [{"detailedHealthState": health}] if health else []
    return {
        "currentAction": action,
        "instance": f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones/{REGION}-b/instances/{name}",
        "instanceHealth": checks,
        "instanceStatus": status,
    }


class Clock:
    now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def wait(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    tools.install(monkeypatch)

    def run(*groups: str) -> Clock:
        clock = Clock()
        machines.wait({"groups": list(groups), "region": REGION}, PROJECT, clock.pause, lambda: clock.now)
        return clock

    return run


def has(tools: Tools, group: str, *found: Machine, times: int | None = None) -> None:
    tools.say("list-instances", group, out=json.dumps(found), times=times)


def test_a_healthy_group_is_not_waited_for(tools: Tools, wait: Callable[..., Clock]) -> None:
    has(tools, "spot", machine("a"), machine("b"))
    assert wait("spot").now == 0


def test_machines_that_are_not_yet_healthy_are_waited_for(tools: Tools, wait: Callable[..., Clock]) -> None:
    has(tools, "spot", machine("a"))
    has(tools, "spot", machine("a", health="TIMEOUT"), times=2)
    has(tools, "spot", machine("a", status="STAGING", health=None), times=1)
    assert wait("spot").now == 30


def test_a_first_deployment_starts_with_no_machine(tools: Tools, wait: Callable[..., Clock]) -> None:
    """A group with an autoscaler begins empty, which Pulumi takes for done."""
    has(tools, "spot", machine("a"))
    has(tools, "spot", times=3)
    assert wait("spot").now == 30


def test_machines_that_the_autoscaler_adds_are_not_waited_for(tools: Tools, wait: Callable[..., Clock]) -> None:
    has(tools, "spot", machine("a"), machine("b", action="CREATING", status="STAGING", health=None))
    assert wait("spot").now == 0


def test_a_machine_that_stays_unhealthy_is_named(tools: Tools, wait: Callable[..., Clock]) -> None:
    has(tools, "spot", machine("a"), machine("b", health="UNHEALTHY"))
    with pytest.raises(StepFailed, match=r"the group spot is not healthy after 600 s: b is RUNNING, UNHEALTHY"):
        wait("spot")


def test_spot_machines_that_cannot_be_had_are_no_reason_to_go_back(tools: Tools, wait: Callable[..., Clock]) -> None:
    has(tools, "spot")
    has(tools, "on-demand", machine("a"))
    wait("on-demand", "spot")


def test_a_fleet_without_any_machine_is_a_failure(tools: Tools, wait: Callable[..., Clock]) -> None:
    has(tools, "spot")
    has(tools, "on-demand")
    with pytest.raises(StepFailed, match="the fleet has no machine after 600 s: see the log of on-demand, spot"):
        wait("on-demand", "spot")


def test_a_stack_without_groups_is_a_failure(wait: Callable[..., Clock]) -> None:
    with pytest.raises(StepFailed, match="the stack has no machines"):
        wait()


def test_gcloud_that_answers_nonsense_is_a_failure(tools: Tools, wait: Callable[..., Clock]) -> None:
    tools.say("list-instances", out="WARNING: nothing")
    with pytest.raises(StepFailed, match="did not answer in JSON"):
        wait("spot")
