"""What a person does: `make up`, also where it gives up what is protected, `make destroy`, `make drift`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import apis, preflight
from pipeline.stack import Stack
from tests.pipeline.conftest import NEW, OLD, PROJECT
from tests.pipeline.scene import Scene, fleet, leave_artifacts
from tests.pipeline.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(
    checkout: Path, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Scene]:
    """A stack that runs OLD; what is looked at before the first image has tests of its own."""
    leave_artifacts(checkout)
    monkeypatch.setattr(apis, "ready", lambda *_, **__: None)
    monkeypatch.setattr(preflight, "due", lambda _: False)
    with fleet(world) as server:
        world.pulumi.fixed_outputs = {"url": f"http://classify.invalid:{server.server_port}/"}
        world.deploy(checkout, OLD)
        yield Scene(checkout, world, monkeypatch, capsys)


def set_setting(scene: Scene, line: str) -> None:
    file = scene.folder / "Pulumi.dev.yaml"
    file.write_text(f"{file.read_text()}  own-cloud-classifier:{line}\n")


class TestUp:
    def test_asks_and_keeps_the_image_that_runs(self, scene: Scene) -> None:
        """Without an image the program makes the foundations only: a bare `pulumi up` would take the fleet down."""
        set_setting(scene, "zones: [europe-west1-b]")
        said = scene.run("up")
        (command,) = scene.world.asked("pulumi", "up")
        assert "--yes" not in command
        assert scene.image == OLD
        assert scene.world.google.serving == {OLD}
        assert "2 of 2 in classifier-dev-spot" in said
        assert "up: next: a load test" in said

    def test_looks_at_everything_first(self, scene: Scene) -> None:
        """A person may read the foundations too, and Pulumi.yaml asks for it."""
        scene.world.google.things["Repository"].clear()
        scene.run("up")
        assert len(scene.world.google.things["Repository"]) == 1

    def test_has_pulumi_wait_for_new_groups(self, scene: Scene) -> None:
        """They must serve before the balancer leads to them, and the old ones go."""
        set_setting(scene, "zones: [europe-west1-b]")
        scene.run("up")
        waits = [item.inputs["waits"] for item in scene.world.pulumi.resources if "waits" in item.inputs]
        assert waits == [True, True]

    def test_makes_the_foundations_first(self, scene: Scene) -> None:
        scene.world.pulumi.run(["destroy"], _environment(), scene.folder)
        scene.world.pulumi.resources.clear()
        scene.world.pulumi.outputs = {}
        scene.run("up")
        assert {item.kind for item in scene.world.pulumi.resources if item.id} == {"Repository", "GlobalAddress"}
        assert scene.world.asked("list-instances") == []

    def test_that_is_answered_with_no_changes_nothing(self, scene: Scene) -> None:
        scene.world.say("pulumi", "up", code=255)
        assert scene.refused("up") == "nothing more was changed, see above."
        assert scene.is_tidy()

    def test_that_is_killed_leaves_no_lock_of_pulumis(self, scene: Scene) -> None:
        """Ours says that nobody else is at work; the next `make up` would wait for the dead one."""
        scene.world.say("pulumi", "up", code=-9)
        scene.world.pulumi.locks.append("left")
        scene.world.say("pulumi", "refresh", times=1)
        assert scene.refused("up").startswith("Pulumi was ended by signal 9: run `make up STACK=dev` again")
        assert scene.is_tidy()

    def test_mends_what_a_dead_rollout_left(self, scene: Scene) -> None:
        holder: dict[str, Any] = dict.fromkeys(("who", "host", "build", "action", "token"), "x")
        holder |= {"pid": 1, "began": 0.0, "renewed": 0.0}
        scene.world.google.objects[f"gs://{PROJECT}-pulumi-state/rollout/dev/lock.json"] = (1, json.dumps(holder))
        scene.world.pulumi.locks.append("22d8693a")
        scene.run("up")
        assert scene.is_tidy()


class TestWhatIsProtected:
    @pytest.fixture
    def losing(self, scene: Scene) -> Scene:
        """A stack with an address of IPv6, which its settings no longer ask for."""
        set_setting(scene, "allowlist2: x")
        file = scene.folder / "Pulumi.dev.yaml"
        file.write_text(file.read_text().replace("allowlist2: x", "ipv6: true"))
        scene.world.deploy(scene.folder, OLD)
        file.write_text(file.read_text().replace("  own-cloud-classifier:ipv6: true\n", ""))
        return scene

    def test_is_named_with_the_command_that_gives_it_up(self, losing: Scene) -> None:
        sentence = losing.refused("up")
        assert sentence.startswith(
            "this would give up what is protected: GlobalAddress classifier-dev-ipv6 (2001:db8::7). Other people's DNS"
        )
        assert sentence.endswith("run `make up STACK=dev GIVE_UP=1`.")
        assert len(losing.world.google.things["GlobalAddress"]) == 2
        assert losing.world.asked("pulumi", "up") == []

    def test_goes_where_a_person_says_so_and_nothing_else_does(self, losing: Scene) -> None:
        said = losing.run("up", GIVE_UP=1)
        assert "may go, since GIVE_UP is set: GlobalAddress classifier-dev-ipv6 (2001:db8::7)" in said
        (name,) = losing.world.google.things["GlobalAddress"]
        assert "ipv4" in name
        assert {item.kind for item in losing.world.pulumi.resources if item.protect} == {"Repository", "GlobalAddress"}

    def test_is_never_given_up_by_a_deployment(self, losing: Scene) -> None:
        assert "run `make up STACK=dev GIVE_UP=1`" in losing.refused("deploy", GIVE_UP=1)
        assert losing.image == OLD


class TestDestroy:
    def test_says_what_goes_and_what_stays(self, scene: Scene) -> None:
        scene.world.google.registry |= {NEW}
        records = [{"name": "classify.example.com.", "type": "A", "value": "203.0.113.9"}]
        scene.world.pulumi.outputs["records"] = records
        said = scene.run("destroy", YES="dev")
        for line in (
            "the address 127.0.0.1 (ipv4), which DNS records and allowlists may name",
            "the service of classify.example.com, and the certificates",
            "2 images in europe-west1-docker.pkg.dev/my-project/classifier-dev, and with them every way back",
            "the machines of 2 groups",
            "What stays: the APIs that were enabled, the bucket with the state, its key, and the stack's file",
        ):
            assert line in said

    def test_removes_everything_protected_or_not(self, scene: Scene) -> None:
        scene.run("destroy", YES="dev")
        google = scene.world.google
        assert not any(google.things.values())
        assert not google.groups
        assert scene.world.pulumi.resources == []
        assert google.objects == {}, "the record of releases too"
        assert scene.is_tidy()

    def test_removes_a_rule_that_would_keep_the_network(self, scene: Scene) -> None:
        scene.world.google.rules["900"] = "198.51.100.9/32"
        scene.run("destroy", YES="dev")
        assert scene.is_tidy()

    def test_goes_on_where_it_was_interrupted_after_nothing_was_protected_any_more(self, scene: Scene) -> None:
        for item in scene.world.pulumi.resources:
            item.protect = False
        scene.run("destroy", YES="dev")
        assert not any(scene.world.google.things.values())

    @pytest.mark.parametrize("name", ["prod", "yes", "1"])
    def test_another_name_changes_nothing(self, name: str, scene: Scene) -> None:
        assert f"{name!r} is not the stack's name, dev: nothing was changed" in scene.refused("destroy", YES=name)
        assert scene.world.asked("destroy") == []

    def test_nobody_to_ask_changes_nothing(self, scene: Scene) -> None:
        assert scene.refused("destroy") == "nobody is here to ask: run `make destroy STACK=dev YES=dev`."
        assert scene.world.asked("storage", "cp") == []

    @pytest.mark.parametrize(("typed", "goes"), [("dev", True), ("", False), ("de", False)])
    def test_the_name_is_typed(self, typed: str, goes: bool, scene: Scene) -> None:
        monkeypatch = scene.monkeypatch
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda _: typed)
        if goes:
            scene.run("destroy")
        else:
            scene.refused("destroy")
        assert bool(scene.world.asked("pulumi", "destroy")) == goes

    def test_a_stack_with_nothing_in_it(self, scene: Scene) -> None:
        scene.world.pulumi.resources.clear()
        assert "has no resources, so that there is nothing to destroy" in scene.refused("destroy", YES="dev")

    def test_a_stack_whose_settings_are_wrong_can_be_destroyed(self, scene: Scene) -> None:
        set_setting(scene, "spotMin: 99")
        scene.run("destroy", YES="dev")
        assert scene.world.pulumi.resources == []


class TestDrift:
    def test_nothing_differs(self, scene: Scene) -> None:
        assert "is as it was deployed" in scene.run("drift")

    def test_what_differs_is_named(self, scene: Scene) -> None:
        scene.world.google.rules["5"] = "0.0.0.0/0"
        scene.world.google.things["AlertPolicy"].clear()
        first, *lines = scene.refused("drift").splitlines()
        assert first.startswith(
            "2 of the resources of stack dev are not as they were deployed; `make up STACK=dev`, or"
        )
        assert lines == [
            "  SecurityPolicy classifier-dev differs in rules",
            "  AlertPolicy classifier-dev-slow is gone",
        ]

    def test_nothing_is_changed(self, scene: Scene) -> None:
        """Neither at Google nor in the state: what was found tonight is found tomorrow night."""
        scene.world.google.things["AlertPolicy"].clear()
        assert scene.refused("drift") == scene.refused("drift")

    def test_only_what_the_pipeline_manages_is_looked_at(self, scene: Scene) -> None:
        """Its account may not read the foundations."""
        scene.world.google.things["Repository"].clear()
        assert "is as it was deployed" in scene.run("drift")

    def test_what_a_dead_rollout_left_is_said_and_left_to_the_next(self, scene: Scene) -> None:
        """Looking at night must not lose what the next rollout needs to know: that it died, and what ran before."""
        lock = f"gs://{PROJECT}-pulumi-state/rollout/dev/lock.json"
        holder: dict[str, Any] = dict.fromkeys(("who", "host", "build", "action", "token"), "x")
        holder |= {"pid": 1, "began": 0.0, "renewed": 0.0, "before": NEW}
        scene.world.google.objects[lock] = (1, json.dumps(holder))
        for _ in range(2):
            assert "as a rollout has left it that was ended from outside (x@x (process 1" in scene.refused("drift")
        assert json.loads(scene.world.google.objects[lock][1])["before"] == NEW
        scene.world.google.registry.add(NEW)
        scene.run("rollback")
        assert scene.image == NEW

    def test_a_stack_without_machines_has_none(self, scene: Scene) -> None:
        scene.world.pulumi.resources = [item for item in scene.world.pulumi.resources if "Registry" in item.urn]
        assert "is as it was deployed" in scene.run("drift")


def _environment() -> dict[str, Any]:
    return {"PULUMI_BACKEND_URL": f"gs://{PROJECT}-pulumi-state"}


@pytest.mark.parametrize("action", ["deploy", "up", "renew", "rollback", "drift"])
def test_nothing_is_done_to_a_stack_whose_bucket_is_gone(action: str, scene: Scene) -> None:
    """It was waited for for ever: that nothing is there was taken for somebody who is faster."""
    bucket = f"gs://{PROJECT}-pulumi-state"
    scene.world.say("gcloud", "storage", err=f"ERROR: (gcloud.storage.cp) {bucket} not found: 404.\n", code=1)
    assert scene.refused(action).startswith(f"the state bucket {bucket} does not exist: run `make bootstrap`")
    assert scene.world.asked("pulumi") == []


def test_a_stack_is_never_selected_or_signed_in_to(scene: Scene) -> None:
    stack = Stack("dev", f"gs://{PROJECT}-pulumi-state")
    scene.monkeypatch.setenv("PATH", scene.world.environment["PATH"])
    stack.outputs()
    assert {call[1] for call in scene.world.calls} == {"version", "stack"}
