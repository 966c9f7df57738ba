"""The stand-in for Pulumi does what the real engine was seen to do: without mending, a killed update stays broken."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.infra.google import recordings
from tests.pipeline.conftest import NEW, OLD, PROJECT, STACK_FILE
from tests.pipeline.fake_google import Answer, Google
from tests.pipeline.fake_pulumi import Killed, Pulumi

ENVIRONMENT = {"PULUMI_BACKEND_URL": f"gs://{PROJECT}-pulumi-state"}


class Bare:
    """The stand-in without the pipeline: a person with nothing but the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.google, self.killed_at = folder, Google(), ""
        self.pulumi = Pulumi(self.google, self._reached)
        self.pulumi.groups = {"spot": True}

    def _reached(self, place: str) -> None:
        if place == self.killed_at:
            self.killed_at = ""
            raise Killed

    def run(self, command: str, image: str = "") -> Answer:
        document = yaml.safe_load(STACK_FILE)
        document["config"]["own-cloud-classifier:image"] = image
        (self.folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump(document))
        return self.pulumi.run([command, "--yes"], ENVIRONMENT, self.folder)


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """Foundations, then an update that is killed when the group of machines has just been made."""
    made = Bare(tmp_path)
    assert made.run("up")[0] == 0
    made.killed_at = "after RegionInstanceGroupManager"
    with pytest.raises(Killed):
        made.run("up", OLD)
    return made


def test_it_ends_each_step_as_the_real_one_did(bare: Bare) -> None:
    recorded = {step.name.rsplit(" ", 1)[-1]: step.succeeded for step in recordings.scenarios()["killed"]}
    assert bare.run("up", OLD)[0] == 255, "its lock outlives it"
    assert bare.run("cancel")[0] == 0
    played = {"foundations": True}
    for step, command, image in (("after", "up", OLD), ("digest", "up", NEW), ("destroy", "destroy", "")):
        for item in bare.pulumi.resources:
            item.protect = False
        played[step] = bare.run(command, image)[0] == 0
    assert played == recorded == {"foundations": True, "after": True, "digest": False, "destroy": False}


def test_it_makes_a_second_group_beside_the_first(bare: Bare) -> None:
    (after,) = (step for step in recordings.scenarios()["killed"] if step.name.endswith("after"))
    made_again = [line for line in map(str, after.calls) if "POST" in line and "instanceGroupManagers" in line]
    bare.run("cancel")
    bare.run("up", OLD)
    assert len(bare.google.groups) == 1 + len(made_again) == 2


def test_it_removes_no_template_that_a_group_uses(bare: Bare) -> None:
    bare.run("cancel")
    bare.run("up", OLD)
    code, said, _ = bare.run("up", NEW)
    assert code
    assert "is already being used by" in said


def test_the_real_one_saw_nothing_of_what_was_changed_by_hand(tmp_path: Path) -> None:
    """And with a refresh it does, as the pipeline's does before each update."""
    for refresh, there in (("false", 0), ("true", 1)):
        bare = Bare(tmp_path)
        bare.run("up", OLD)
        bare.google.things["AlertPolicy"].clear()
        bare.pulumi.run(["up", "--yes"], {**ENVIRONMENT, "PULUMI_OPTION_REFRESH": refresh}, tmp_path)
        assert len(bare.google.things["AlertPolicy"]) == there
