"""A rollout that is ended from outside, at any place, is mended by the next one; two at once do not undo each other.

Each drill kills a rollout with all that it has started (SIGKILL: memory, a build's time-out, a closed laptop), then
does what anybody would do next: the same again, or going back. What must hold in the end is in `settled`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import COMMIT, NEW, OLD, REGISTRY
from tests.pipeline.scene import COMMITS, QUICK, fleet, leave_artifacts
from tests.pipeline.world import World

pytestmark = pytest.mark.slow

THIRD = f"{REGISTRY}/classifier@sha256:{'c' * 64}"
COMMITS[THIRD] = "d" * 40
# A dead holder is known by its process on this machine; those of other machines by their silence.
TIMES = {**QUICK, "LOCK_WAIT_SEC": "30", "LOCK_RENEW_SEC": "0.2", "LOCK_DEAD_SEC": "1"}
# Long before it, a rollout has done all that it does; the last commands give the lock back.
_COMMANDS = 31
_LIMIT_SEC = 20


def _work(folder: str, environment: dict[str, str], action: str, log: str) -> None:
    """Run an action in a process group of its own; started from a process that has everything loaded."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with Path(log).open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from pipeline import fleet_tests, rollout, settings
    from pipeline.errors import main

    fleet_tests.HERE = Path(folder) / "pipeline"
    main(lambda: rollout.ACTIONS[action](settings.read()))


@dataclass
class Drill:
    """A stack that runs OLD, and rollouts as processes."""

    folder: Path
    world: World
    context: Any

    def start(self, action: str = "deploy", **given: object) -> BaseProcess:
        environment = {
            **TIMES,
            "HOME": str(self.folder),
            "COMMIT": COMMIT,
            **self.world.environment,
            **{name: str(value) for name, value in given.items()},
        }
        process: BaseProcess = self.context.Process(
            target=_work, args=(str(self.folder), environment, action, str(self.folder / "log"))
        )
        process.start()
        return process

    def run(self, action: str = "deploy", **given: object) -> int:
        """Run an action to its end; returns its exit code, a signal's as a negative one."""
        process = self.start(action, **given)
        return self.end_of(process)

    def end_of(self, process: BaseProcess) -> int:
        """Return how a process ended, which it does in time."""
        process.join(_LIMIT_SEC)
        code = process.exitcode
        if code is None and process.pid:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        assert code is not None, f"it did not end\n{self.log}"
        process.close()
        return code

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def settled(self, image: str) -> None:
        """Assert that the stack runs an image, wholly and alone, and that nothing is left of any rollout."""
        google, pulumi = self.world.google, self.world.pulumi
        assert pulumi.outputs["image"] == image, self.log
        assert google.serving == {image}, self.log
        assert len(google.groups) == 2, f"a group that nobody knows: {list(google.groups)}\n{self.log}"
        assert pulumi.creating == [], self.log
        known = {item.id for item in pulumi.resources if item.id}
        there = {name for found in google.things.values() for name in found}
        assert known == there, self.log
        assert not google.rules, "a build is still admitted"
        assert not [name for name in google.objects if name.endswith("lock.json")], "the lock is still held"
        assert not pulumi.locks, "Pulumi's lock is still held"


@pytest.fixture(scope="module")
def context() -> Any:
    """Processes are forked from one that has loaded what a rollout needs: a second less for each."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["pipeline.rollout", "tests.pipeline.test_drills"])
    return found


@contextmanager
def drill(context: Any, checkout: Path, world: World, *, first: bool = False) -> Iterator[Drill]:
    leave_artifacts(checkout)
    with fleet(world) as server:
        world.pulumi.fixed_outputs = {"url": f"http://classify.invalid:{server.server_port}/"}
        world.deploy(checkout, "" if first else OLD)
        world.google.registry |= {NEW, THIRD}
        yield Drill(checkout, world, context)


@pytest.fixture
def drilled(context: Any, checkout: Path, world: World) -> Iterator[Drill]:
    with drill(context, checkout, world) as made:
        yield made


@pytest.mark.parametrize("number", range(1, _COMMANDS + 1))
def test_killed_after_any_command_the_same_again_ends_well(number: int, drilled: Drill) -> None:
    drilled.world.kill_after = number
    code = drilled.run()
    drilled.world.kill_after = 0
    assert code in (-9, 0)
    assert drilled.run() == 0, drilled.log
    drilled.settled(NEW)


@pytest.mark.parametrize("number", range(1, _COMMANDS + 1))
def test_killed_after_any_command_going_back_ends_well(number: int, drilled: Drill) -> None:
    """Whether the stack already says that it runs the new image, or not yet."""
    drilled.world.kill_after = number
    drilled.run()
    drilled.world.kill_after = 0
    if drilled.run("rollback"):
        # Killed before anything was changed: there is nothing to go back from.
        assert "holds no other image" in drilled.log
        assert drilled.world.asked("pulumi", "up") == []
    drilled.settled(OLD)


def test_a_rollout_has_no_more_commands_than_are_drilled(drilled: Drill) -> None:
    """Renewals of the lock are not counted: how many there are depends on the machine."""
    assert drilled.run(LOCK_RENEW_SEC="60") == 0
    assert len(drilled.world.calls) <= _COMMANDS


_MADE = (
    "SecurityPolicy",
    "HealthCheck",
    "InstanceTemplate",
    "RegionInstanceGroupManager",
    "RegionAutoscaler",
    "BackendService",
    "AlertPolicy",
)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", _MADE)
def test_killed_while_pulumi_makes_something_the_same_again_ends_well(
    kind: str, place: str, context: Any, checkout: Path, world: World
) -> None:
    """The first deployment: what exists is taken into the state, what was never made is made."""
    with drill(context, checkout, world, first=True) as drilled:
        world.kill_at = f"{place} {kind}"
        assert drilled.run() == -9
        assert [item.kind for item in world.pulumi.creating] == [kind]
        assert drilled.run() == 0, drilled.log
        drilled.settled(NEW)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", ["InstanceTemplate", "RegionInstanceGroupManager"])
@pytest.mark.parametrize("then", ["deploy", "rollback"])
def test_killed_while_pulumi_makes_a_replacement_no_other_is_left(
    then: str, kind: str, place: str, drilled: Drill
) -> None:
    """It cannot be imported beside what it was to replace, which still serves; so it is removed, and made again."""
    file = drilled.folder / "Pulumi.dev.yaml"
    before = file.read_text()
    file.write_text(before + "  own-cloud-classifier:zones: [europe-west1-b]\n")
    drilled.world.kill_at = f"{place} {kind}"
    assert drilled.run() == -9
    assert drilled.run(then) == 0, drilled.log
    drilled.settled(NEW if then == "deploy" else OLD)


def test_killed_while_the_lock_is_renewed_the_same_again_ends_well(drilled: Drill) -> None:
    def kill_at_the_third(command: list[str]) -> None:
        if "cp" in command and len(drilled.world.asked("storage", "cp")) == 3:
            drilled.world.kill_after = len(drilled.world.calls) + 1

    drilled.world.before = kill_at_the_third
    assert drilled.run(LOCK_RENEW_SEC=0.02) == -9
    assert drilled.run() == 0, drilled.log
    drilled.settled(NEW)


def test_killed_twice_the_first_image_is_still_known(drilled: Drill) -> None:
    """The second dies while it mends what the first left, and never learns by itself what ran before both."""
    drilled.world.kill_at = "after InstanceTemplate"
    assert drilled.run() == -9
    drilled.world.kill_after = len(drilled.world.calls) + 9
    assert drilled.run(IMAGE=THIRD) == -9
    assert drilled.run("rollback") == 0, drilled.log
    drilled.settled(OLD)


def test_killed_on_the_way_back_the_same_again_ends_well(drilled: Drill) -> None:
    drilled.world.kill_at = ""

    def kill_the_second_update(command: list[str]) -> None:
        if command[1] == "up" and drilled.world.asked("pulumi", "up"):
            drilled.world.kill_at = "after InstanceTemplate"

    drilled.world.before = kill_the_second_update
    assert drilled.run(LOAD_CODE=1) == -9
    drilled.world.before = lambda _: None
    assert drilled.run("rollback") == 0, drilled.log
    drilled.settled(OLD)


@pytest.mark.parametrize("number", range(8, 20))
def test_a_destruction_that_is_killed_goes_on(number: int, drilled: Drill) -> None:
    drilled.world.kill_after = number
    drilled.run("destroy", YES="dev")
    drilled.world.kill_after = 0
    if drilled.world.pulumi.resources:
        assert drilled.run("destroy", YES="dev") == 0, drilled.log
    google = drilled.world.google
    assert not any(google.things.values())
    assert not google.groups


class TestTwoAtOnce:
    """Two pushes within minutes: the second waits, and neither takes the other's image for a failure of its own."""

    def test_both_are_released_one_after_the_other(self, drilled: Drill) -> None:
        first = drilled.start()
        _until(lambda: bool(drilled.world.asked("pulumi", "stack")))
        assert drilled.run(IMAGE=THIRD, COMMIT=COMMITS[THIRD]) == 0, drilled.log
        assert drilled.end_of(first) == 0, drilled.log
        assert "lock: waiting for" in drilled.log
        updates = [item for item in drilled.world.pulumi.history if item["kind"] == "update"]
        released = [item["config"]["own-cloud-classifier:image"]["value"] for item in updates]
        assert list(dict.fromkeys(released)) == [OLD, NEW, THIRD]
        drilled.settled(THIRD)

    def test_one_that_was_taken_for_dead_changes_nothing_more(self, drilled: Drill) -> None:
        """A laptop that was closed in the middle, and opened again when somebody else had gone on."""
        stopped: list[int] = []

        def close_the_laptop(command: list[str]) -> None:
            if "list-instances" in command and not stopped and first.pid:
                stopped.append(first.pid)
                os.kill(first.pid, signal.SIGSTOP)

        drilled.world.before = close_the_laptop
        first = drilled.start()
        _until(lambda: bool(stopped))
        assert drilled.run(IMAGE=THIRD, COMMIT=COMMITS[THIRD]) == 0, drilled.log
        before = len(drilled.world.asked("pulumi", "up"))
        os.kill(stopped[0], signal.SIGCONT)
        assert drilled.end_of(first) == 1, drilled.log
        assert "this rollout was taken for dead and replaced" in drilled.log
        assert len(drilled.world.asked("pulumi", "up")) == before
        drilled.settled(THIRD)


def _until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)
