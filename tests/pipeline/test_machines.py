"""When the fleet counts as updated and healthy, by Google's own word; time is a fake clock's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.plans import BATCH_SEC, GroupPlan
from pipeline import machines, previous_template
from pipeline.errors import StepFailed
from pipeline.machines import FleetUnhealthy
from pipeline.settings import Settings
from tests.pipeline.conftest import PROJECT, REGION
from tests.pipeline.world import World

pytestmark = pytest.mark.slow

Item = dict[str, Any]
LINK = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}"
ON_DEMAND = GroupPlan("on-demand", spot=False, min_size=1, max_size=6, scale_at=1, surge=3)
SPOT = GroupPlan("spot", spot=True, min_size=1, max_size=6, scale_at=1, surge=3)
LIMIT_SEC = 2 * BATCH_SEC + machines._ALLOWANCE_SEC


def machine(
    name: str, template: str = "new", *, action: str = "NONE", health: str = "HEALTHY", more: Item | None = None
) -> Item:
    item: Item = {
        "currentAction": action,
        "instance": f"{LINK}/zones/{REGION}-b/instances/{name}",
        "version": {"instanceTemplate": f"{LINK}/global/instanceTemplates/{template}?uniqueId=7"},
    }
    if action == "NONE":
        item |= {"instanceHealth": [{"detailedHealthState": health}], "instanceStatus": "RUNNING"}
    return item | (more or {})


class Clock:
    now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def wait(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    monkeypatch.setenv("PATH", world.environment["PATH"])

    def run(*groups: GroupPlan) -> Clock:
        clock = Clock()
        machines.wait(groups, REGION, PROJECT, Settings(), pause=clock.pause, clock=lambda: clock.now)
        return clock

    return run


def has(world: World, group: GroupPlan, *found: Item, times: int = 1 << 30) -> None:
    """Have a group hold machines, the next `times` times; the template that it should have is `new`."""
    world.say("describe", group.name, out=json.dumps({"versions": [{"instanceTemplate": f"{LINK}/global/new"}]}))
    world.say("list-instances", group.name, out=json.dumps(found), times=times)


class TestAGroupIsWaitedFor:
    def test_no_longer_than_it_takes(self, world: World, wait: Callable[..., Clock]) -> None:
        has(world, SPOT, machine("a"), machine("b"))
        assert wait(SPOT).now == 0

    def test_while_its_machines_are_not_healthy(self, world: World, wait: Callable[..., Clock]) -> None:
        has(world, SPOT, machine("a"))
        has(world, SPOT, machine("a", health="TIMEOUT"), times=2)
        has(world, SPOT, machine("a", action="CREATING"), times=1)
        assert wait(SPOT).now == 30

    def test_while_machines_of_the_old_template_are_there(self, world: World, wait: Callable[..., Clock]) -> None:
        has(world, SPOT, machine("a"))
        has(world, SPOT, machine("a"), machine("z", "old", action="DELETING"), times=2)
        assert wait(SPOT).now == 20

    def test_until_it_has_as_many_as_it_must(self, world: World, wait: Callable[..., Clock]) -> None:
        group = GroupPlan("spot", spot=True, min_size=2, max_size=6, scale_at=1, surge=3)
        has(world, group, machine("a"), machine("b"))
        has(world, group, machine("a"), times=2)
        has(world, group, times=1)
        assert wait(group).now == 30

    def test_but_not_for_machines_that_the_autoscaler_adds(self, world: World, wait: Callable[..., Clock]) -> None:
        has(world, SPOT, machine("a"), machine("b", action="CREATING"))
        assert wait(SPOT).now == 0

    def test_but_not_for_one_that_may_be_empty(self, world: World, wait: Callable[..., Clock]) -> None:
        empty = GroupPlan("on-demand", spot=False, min_size=0, max_size=6, scale_at=1, surge=3)
        has(world, SPOT, machine("a"))
        has(world, empty)
        assert wait(empty, SPOT).now == 0

    @pytest.mark.parametrize(
        ("max_size", "surge", "minutes"), [(3, 3, 13), (48, 12, 22), (355, 89, 22), (15, 3, 25), (1, 0, 13)]
    )
    def test_as_long_as_its_size_and_its_surge_require(
        self, max_size: int, surge: int, minutes: int, world: World, wait: Callable[..., Clock]
    ) -> None:
        """The provider gives up after fifteen minutes, and a batch takes three."""
        group = GroupPlan("spot", spot=True, min_size=1, max_size=max_size, scale_at=1, surge=surge)
        has(world, group, machine("a", health="UNHEALTHY"))
        with pytest.raises(FleetUnhealthy, match=f"after {minutes} minutes"):
            wait(group)

    def test_and_says_twice_a_minute_how_far_it_is(
        self, world: World, wait: Callable[..., Clock], capsys: pytest.CaptureFixture[str]
    ) -> None:
        has(world, SPOT, machine("a"), machine("b"))
        has(world, SPOT, machine("a"), machine("b", "old"), times=10)
        wait(SPOT)
        said = capsys.readouterr().out.splitlines()
        assert said == [
            *["machines: 1 of 2 in spot updated and healthy"] * 3,
            "machines: 2 of 2 in spot updated and healthy",
        ]


class TestWhenTimeIsUp:
    def test_a_machine_that_stays_unhealthy_is_named(self, world: World, wait: Callable[..., Clock]) -> None:
        has(world, SPOT, machine("a"), machine("b", health="UNHEALTHY"))
        with pytest.raises(FleetUnhealthy, match=r"after 16 minutes: b is RUNNING, UNHEALTHY\.$"):
            wait(SPOT)

    def test_many_unhealthy_machines_are_not_all_named(self, world: World, wait: Callable[..., Clock]) -> None:
        has(world, SPOT, *(machine(f"m{number}", health="UNHEALTHY") for number in range(8)))
        with pytest.raises(FleetUnhealthy, match="m4 is RUNNING, UNHEALTHY and 3 more"):
            wait(SPOT)

    def test_on_demand_machines_must_all_be_there(self, world: World, wait: Callable[..., Clock]) -> None:
        trouble = {"lastAttempt": {"errors": {"errors": [{"code": "QUOTA_EXCEEDED"}]}}}
        has(world, SPOT, machine("a"))
        has(world, ON_DEMAND, machine("b", "old"), machine("c", action="CREATING", more=trouble))
        with pytest.raises(FleetUnhealthy, match=r"0 of 2 in on-demand updated and healthy \(QUOTA_EXCEEDED\)"):
            wait(ON_DEMAND, SPOT)

    def test_spot_machines_that_cannot_be_had_are_said_where_others_serve(
        self, world: World, wait: Callable[..., Clock], capsys: pytest.CaptureFixture[str]
    ) -> None:
        has(world, SPOT, machine("z", "old"))
        has(world, ON_DEMAND, machine("a"))
        assert wait(ON_DEMAND, SPOT).now == LIMIT_SEC
        assert "Google has no Spot machines at this moment: 0 of 1 in spot updated and healthy; 1 older ones serve" in (
            capsys.readouterr().out
        )

    def test_a_fleet_without_any_updated_machine_is_a_failure(self, world: World, wait: Callable[..., Clock]) -> None:
        has(world, SPOT, machine("z", "old"))
        with pytest.raises(FleetUnhealthy, match="no machine is updated and healthy"):
            wait(SPOT)


class TestBadInput:
    def test_a_stack_without_groups(self, wait: Callable[..., Clock]) -> None:
        with pytest.raises(StepFailed, match="the stack has no machines"):
            wait()

    def test_gcloud_that_answers_nonsense(self, world: World, wait: Callable[..., Clock]) -> None:
        world.say("describe", out="WARNING: nothing")
        with pytest.raises(StepFailed, match="did not answer in JSON"):
            wait(SPOT)

    def test_outputs_of_an_older_program_name_no_groups(self) -> None:
        assert machines.groups_of({"groups": ["a"]}) == ()


class TestPointingBack:
    @pytest.fixture
    def point_back(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
        monkeypatch.setenv("PATH", world.environment["PATH"])

        def run() -> list[list[str]]:
            previous_template.point_back([ON_DEMAND, SPOT], REGION, PROJECT, lambda: None)
            return world.asked("rolling-action")

        return run

    def test_old_machines_are_what_they_should_be_again(
        self, world: World, point_back: Callable[[], list[list[str]]]
    ) -> None:
        """Else going back would replace even the machines that nothing has touched yet."""
        has(world, ON_DEMAND, machine("a", health="UNHEALTHY"), machine("b", "old"), machine("c", "older"))
        has(world, SPOT, machine("d", action="CREATING"), machine("e", "old"), machine("f", "old"))
        world.say("rolling-action")
        assert [(call[6], call[9]) for call in point_back()] == [
            ("on-demand", "--version=template=old"),
            ("spot", "--version=template=old"),
        ]

    def test_not_where_a_new_machine_is_healthy(self, world: World, point_back: Callable[[], list[list[str]]]) -> None:
        has(world, ON_DEMAND, machine("a"), machine("b", "old"))
        has(world, SPOT, machine("c", health="UNHEALTHY"), machine("d", "old"))
        assert point_back() == []

    def test_a_template_that_is_gone_is_passed_over(
        self, world: World, point_back: Callable[[], list[list[str]]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Pulumi removes it once an update is through; then the update that follows has to do."""
        has(world, ON_DEMAND, machine("a", health="UNHEALTHY"), machine("b", "old"))
        has(world, SPOT)
        world.say("rolling-action", err="ERROR: the resource 'old' was not found\n", code=1)
        point_back()
        assert "on-demand cannot be pointed back to old: ERROR: the resource 'old' was not found" in (
            capsys.readouterr().out
        )
