"""`make up` and `make destroy`: who is asked, what is said, and what a second try makes of a first that ended early."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.conftest import OLD, PROJECT
from tests.pipeline.scene import Scene, leave_artifacts
from tests.pipeline.world import World

BUCKET = f"gs://{PROJECT}-pulumi-state"


@pytest.fixture
def scene(checkout: Path, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scene:
    """A stack that runs OLD, and a person at it."""
    leave_artifacts(checkout)
    world.deploy(checkout, OLD)
    return Scene(checkout, world, monkeypatch, capsys)


class TestUp:
    def test_runs_with_the_image_that_runs(self, scene: Scene) -> None:
        scene.run("up")
        assert scene.image == OLD
        assert scene.is_tidy()

    def test_that_is_killed_leaves_no_lock_of_pulumis(self, scene: Scene) -> None:
        """Ours says that nobody else is at work; the next `make up` would wait for the dead one."""
        scene.world.say("pulumi", "up", code=-9)
        scene.world.pulumi.locks.append("left")
        scene.world.say("pulumi", "refresh", times=1)
        assert scene.refused("up").startswith("Pulumi was ended by signal 9: run `make up STACK=dev` again")
        assert scene.is_tidy()

    def test_answered_with_no_is_no_success(self, scene: Scene) -> None:
        scene.world.say("pulumi", "up", code=255)
        assert scene.refused("up") == "nothing more was changed, see above."
        assert scene.is_tidy()


class TestDestroy:
    def test_takes_everything_away(self, scene: Scene) -> None:
        said = scene.run("destroy", YES="dev")
        assert "the address 127.0.0.1 (ipv4)" in said
        assert not any(scene.world.google.things.values())
        assert scene.is_tidy()

    def test_goes_on_where_it_was_interrupted_after_nothing_was_protected_any_more(self, scene: Scene) -> None:
        for item in scene.world.pulumi.resources:
            item.protect = False
        scene.run("destroy", YES="dev")
        assert not any(scene.world.google.things.values())

    def test_closes_what_a_killed_build_left_open(self, scene: Scene) -> None:
        """The firewall rule of a single machine, which no state knows, would keep the network."""
        scene.world.google.rules["900"] = "203.0.113.77/32"
        scene.run("destroy", YES="dev")
        assert scene.is_tidy()

    def test_is_possible_whatever_the_stacks_file_says(self, scene: Scene) -> None:
        file = scene.folder / "Pulumi.dev.yaml"
        file.write_text(file.read_text() + "  own-cloud-classifier:spotMin: 9\n")
        scene.run("destroy", YES="dev")
        assert not any(scene.world.google.things.values())

    @pytest.mark.parametrize("typed", ["1", "prod", "DEV"])
    def test_of_another_name_changes_nothing(self, typed: str, scene: Scene) -> None:
        assert scene.refused("destroy", YES=typed) == f"'{typed}' is not the stack's name, dev: nothing was changed."
        assert scene.image == OLD
        assert scene.world.asked("lock.json") == []

    def test_asks_nobody_where_nobody_is(self, scene: Scene) -> None:
        assert scene.refused("destroy") == "nobody is here to ask: run `make destroy STACK=dev YES=dev`."

    def test_of_nothing(self, scene: Scene) -> None:
        scene.run("destroy", YES="dev")
        assert scene.refused("destroy", YES="dev").endswith("so that there is nothing to destroy.")


@pytest.mark.parametrize("action", ["deploy", "up", "renew", "rollback", "drift"])
def test_nothing_is_done_to_a_stack_whose_bucket_is_gone(action: str, scene: Scene) -> None:
    """It was waited for for ever: that nothing is there was taken for somebody who is faster."""
    missing = f"ERROR: (gcloud.storage.cp) {BUCKET} not found: 404.\n"
    scene.world.say("gcloud", "storage", err=missing, code=1)
    assert scene.refused(action).startswith(f"the state bucket {BUCKET} does not exist: run `make bootstrap`")
    assert scene.world.asked("pulumi") == []
