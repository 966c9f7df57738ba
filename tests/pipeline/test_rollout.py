"""The step `rollout`: the new image, tested through the balancer, or the old one again; and why, in one sentence."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import names
from pipeline import stack, temporary_access
from pipeline.bucket import Bucket
from pipeline.errors import Locked
from pipeline.releases import Release
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import COMMIT, NEW, OLD, PROJECT, REGISTRY, complaint, python, recorded, run
from tests.pipeline.fake_google import Answer
from tests.pipeline.scene import ADDRESS, OLD_COMMIT, QUICK, SAMPLE, Fleet, Scene, fleet, leave_artifacts
from tests.pipeline.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def served(world: World) -> Iterator[Fleet]:
    with fleet(world) as server:
        yield server


@pytest.fixture
def scene(
    checkout: Path,
    world: World,
    served: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Scene:
    """A checkout after the step `push`, and a stack that runs OLD."""
    leave_artifacts(checkout)
    # A name that no resolver knows: the tests connect to the stack's address.
    world.pulumi.fixed_outputs = {"url": f"http://classify.invalid:{served.server_port}/"}
    world.deploy(checkout, OLD)
    world.google.registry.add(NEW)
    monkeypatch.setattr(temporary_access, "_PAUSE_SEC", 0)
    return Scene(checkout, world, monkeypatch, capsys)


class TestAGoodImage:
    def test_is_deployed_by_its_digest_and_tested_through_the_balancer(self, scene: Scene) -> None:
        said = scene.run()
        assert scene.image == NEW
        assert scene.world.google.serving == {NEW}
        assert f"{NEW} runs at http://classify.invalid:" in said
        assert "known answers are right through the balancer" in said
        assert scene.is_tidy()

    def test_is_asked_for_at_the_stacks_ipv4_address_by_its_name(self, scene: Scene) -> None:
        """DNS may not lead there yet, and a machine with IPv6 would come by an address that is not admitted."""
        scene.run()
        (load,) = scene.ran
        assert load.startswith("http://classify.invalid:")
        assert load.endswith("/ by 127.0.0.1")

    def test_is_rolled_out_in_this_order(self, scene: Scene) -> None:
        """What was changed by hand is seen, then what would change; access is granted once the machines are healthy."""
        scene.run()
        words = ["lock.json", "refresh", "preview", "up", "list-instances", "create", "delete", "last.json"]
        order = [
            next((word for word in words if any(part.rsplit("/", 1)[-1] == word for part in call)), "")
            for call in scene.world.calls
        ]
        assert [word for word, _ in itertools.groupby(filter(None, order))] == [
            "lock.json",
            "delete",  # what a killed build may have left, before Pulumi sees it
            "refresh",
            "lock.json",  # with the image that runs now
            "preview",
            "up",
            "list-instances",
            "create",
            "delete",
            "last.json",
            "lock.json",
        ]

    def test_leaves_the_stacks_file_alone(self, scene: Scene) -> None:
        """Pulumi would write the image into it, and every build and rollback leave a change to be committed."""
        before = (scene.folder / "Pulumi.dev.yaml").read_text()
        scene.run()
        assert (scene.folder / "Pulumi.dev.yaml").read_text() == before

    def test_neither_signs_a_person_in_nor_selects_a_stack_for_them(self, scene: Scene) -> None:
        scene.run()
        assert scene.world.asked("login") == []
        assert scene.world.asked("select") == []

    def test_does_not_look_at_the_foundations(self, scene: Scene) -> None:
        """The pipeline's account may not read them; without --refresh=false every update would."""
        seen: list[bool] = []
        monkeypatch = scene.monkeypatch
        update = scene.world.pulumi._operation

        def watched(command: str, words: list[str], refresh: bool, folder: Path) -> Answer:
            seen.append(refresh)
            return update(command, words, refresh, folder)

        monkeypatch.setattr(scene.world.pulumi, "_operation", watched)
        scene.run()
        assert set(seen) == {False}
        (refresh,) = scene.world.asked("pulumi", "refresh")
        targets = [word for word in refresh if word.startswith("**")]
        assert targets == [f"**classifier:infra:{name}$**" for name in ("Armor", "Balancer", "Fleet", "Monitoring")]

    def test_has_pulumi_wait_for_new_groups_only(self, scene: Scene) -> None:
        """The provider gives up after fifteen minutes in an update; a new group must serve before traffic moves."""
        waits = {item.name: item.inputs["waits"] for item in scene.world.pulumi.resources if "waits" in item.inputs}
        assert waits == {"classifier-dev-on-demand": True, "classifier-dev-spot": True}
        scene.run()
        group = [item for item in scene.world.pulumi.resources if item.kind == "RegionInstanceGroupManager"]
        assert [item.inputs["waits"] for item in group] == [False, False]

    def test_has_pulumi_wait_where_a_group_goes(self, scene: Scene) -> None:
        """As where an update was killed that made its successor: that one is there, and perhaps not yet healthy."""
        scene.world.pulumi.groups = {"on-demand": False}
        scene.run()
        (group,) = (item for item in scene.world.pulumi.resources if item.kind == "RegionInstanceGroupManager")
        assert group.inputs["waits"]
        assert len(scene.world.google.groups) == 1

    def test_puts_back_what_was_changed_by_hand(self, scene: Scene) -> None:
        scene.world.google.things["AlertPolicy"].clear()
        scene.run()
        assert len(scene.world.google.things["AlertPolicy"]) == 1

    def test_keeps_the_date_of_the_last_renewal(self, scene: Scene) -> None:
        scene.world.pulumi.outputs["refreshed"] = "2026-11-01"
        scene.run()
        assert scene.world.pulumi.outputs["refreshed"] == "2026-11-01"

    def test_is_found_by_its_step(self, scene: Scene) -> None:
        """As cloudbuild.yaml runs it, in a process of its own."""
        result = run(python("pipeline.rollout", "deploy"), scene.folder, scene.world, COMMIT=COMMIT, **QUICK)
        assert result.returncode == 0, result.stderr
        assert scene.image == NEW


class TestNothingIsChanged:
    """Bad input: the fleet is as it was, since `pulumi up` was never told anything, or refused it."""

    @pytest.mark.parametrize(
        "image",
        [
            f"{REGISTRY}/classifier:latest",
            f"{REGISTRY}/classifier",
            "classifier@sha256:12",
            f"{REGISTRY}/x@sha256:{'a' * 63}",
        ],
    )
    def test_a_tag_in_place_of_a_digest(self, image: str, scene: Scene) -> None:
        (scene.folder / ".pipeline" / "digest").write_text(image)
        assert scene.refused().startswith(f"the image is {image!r}: expected a digest")
        assert scene.world.calls == []

    def test_no_image_at_all(self, scene: Scene) -> None:
        (scene.folder / ".pipeline" / "digest").unlink()
        assert scene.refused().startswith("no image was given: run the step `push` first")
        assert scene.world.calls == []

    @pytest.mark.parametrize("action", ["deploy", "up", "renew", "rollback", "drift"])
    def test_mistakes_in_the_stacks_file(self, action: str, scene: Scene) -> None:
        """Each with its line, before anybody is asked anything."""
        file = scene.folder / "Pulumi.dev.yaml"
        file.write_text(file.read_text() + "  own-cloud-classifier:spotMin: 9\n  own-cloud-classifier:spotMux: 1\n")
        first, *lines = scene.refused(action).splitlines()
        assert first == "Pulumi.dev.yaml has mistakes, and nothing was changed:"
        assert len(lines) == 2
        assert scene.world.calls == []

    @pytest.mark.parametrize("action", ["deploy", "preview"])
    def test_another_project_than_the_stacks(self, action: str, scene: Scene) -> None:
        assert "this build is in other-project" in scene.refused(action, PROJECT="other-project")
        assert scene.world.calls == []

    def test_a_stack_without_a_file(self, scene: Scene) -> None:
        assert "Pulumi.prod.yaml is missing" in scene.refused(STACK="prod")
        assert scene.world.calls == []

    @pytest.mark.parametrize("name", ["LOCK_WAIT_SEC", "POLL_SEC", "GIVE_UP"])
    def test_a_setting_that_cannot_be_read(self, name: str, scene: Scene) -> None:
        assert f"{name} is 'soon': write" in scene.refused(**{name: "soon"})
        assert scene.world.calls == []

    def test_an_unknown_action(self, scene: Scene) -> None:
        sentence = complaint(run(python("pipeline.rollout", "demolish"), scene.folder, scene.world))
        assert sentence.startswith("the action is 'demolish': expected one of preview, deploy, promote")
        assert scene.world.calls == []

    @pytest.mark.parametrize(
        ("said", "sentence"),
        [
            ("bucket.txt", f"the state bucket gs://{PROJECT}-pulumi-state does not exist: run `make bootstrap"),
            ("forbidden.txt", f"this account may not read the state bucket gs://{PROJECT}-pulumi-state: grant it"),
            ("no_network.txt", f"the state bucket gs://{PROJECT}-pulumi-state cannot be reached: is there a way to"),
            ("not_signed_in.txt", "Pulumi is not signed in to Google: run `gcloud auth application-default login`"),
            ("no_stack.txt", f"there is no stack dev in gs://{PROJECT}-pulumi-state: make it with `make bootstrap"),
            ("passphrase.txt", "Pulumi.dev.yaml names no key of Cloud KMS"),
            ("no_key.txt", "this account may not use the key of stack dev: grant it as docs/pipeline.md says"),
        ],
    )
    def test_a_state_that_cannot_be_read(self, said: str, sentence: str, scene: Scene) -> None:
        scene.world.say("stack", "output", err=recorded(said), code=255)
        assert scene.refused().startswith(sentence)
        assert scene.image == OLD
        assert scene.is_tidy()

    def test_settings_that_the_program_refuses(self, scene: Scene) -> None:
        scene.world.say("pulumi", "preview", out=recorded("mistakes.txt"), code=255)
        assert scene.refused().splitlines() == [
            "Pulumi.dev.yaml has mistakes, and nothing was changed:",
            "  spotMin is 4 and spotMax is 3: the most cannot be less than the fewest.",
            "  drainSec is 25 and requestTimeoutSec is 10: together they must stay below 29 seconds.",
        ]
        assert scene.world.asked("pulumi", "up") == []

    def test_settings_that_pulumi_itself_refuses(self, scene: Scene) -> None:
        scene.world.say("pulumi", "preview", err=recorded("typed.txt"), code=255)
        assert scene.refused() == (
            "Pulumi.dev.yaml has a mistake, and nothing was changed: Stack 'dev' with configuration key 'spotMin' must "
            "be of type 'integer'"
        )

    def test_a_stack_that_somebody_changes_by_pulumi_itself(self, scene: Scene) -> None:
        """Our own lock does not keep a bare `pulumi up` out; nobody tries to go back from where nobody went."""
        scene.world.say("pulumi", "refresh", err=recorded("locked.txt"), code=255)
        sentence = scene.refused()
        assert sentence.startswith("the stack dev is locked by a Pulumi outside `make` (gs://my-project-pulumi-state/")
        assert "created by root@6d33034d39d7 (pid 285)" in sentence
        assert "pulumi cancel --stack dev" in sentence
        assert scene.image == OLD

    def test_such_a_stack_is_waited_for(self, scene: Scene) -> None:
        scene.world.say("pulumi", "refresh", err=recorded("locked.txt"), code=255, times=2)
        scene.monkeypatch.setattr(stack, "_PAUSE_SEC", 0)
        assert scene.run(LOCK_WAIT_SEC=60).count("the stack is locked, asking again") == 2
        assert scene.image == NEW

    def test_a_pulumi_that_is_too_old(self, scene: Scene) -> None:
        scene.world.say("pulumi", "version", out="v3.150.0")
        assert scene.refused().startswith("pulumi 3.150.0 is too old: install 3.208.0 or newer")

    @pytest.mark.parametrize("version", ["", "v2.25.2", "hello"])
    def test_something_else_than_pulumi(self, version: str, scene: Scene) -> None:
        scene.world.say("pulumi", "version", out=version)
        assert "install 3.208.0 or newer (docs/deployment.md)" in scene.refused()

    def test_a_program_that_is_not_installed(self, scene: Scene) -> None:
        scene.world.environment = {"PATH": "/nowhere"}
        assert scene.refused().startswith("gcloud is not installed: docs/deployment.md")


class TestTheOldImageAgain:
    """What fails after the fleet was touched ends with the image that ran before, and a failed build."""

    def test_machines_that_do_not_come_up(self, scene: Scene) -> None:
        scene.world.google.bad_images.add(NEW)
        _no_waiting(scene)
        sentence = scene.refused()
        assert "the fleet is not healthy after 13 minutes: m" in sentence
        assert sentence.endswith(f"The fleet runs {OLD} again.")
        assert (scene.image, scene.world.google.serving) == (OLD, {OLD})
        assert scene.is_tidy()

    def test_a_group_that_pulumi_waits_for_too_long(self, scene: Scene) -> None:
        """The provider's fifteen minutes are no verdict: its machines are waited for, and the update ended."""
        zones = scene.folder / "Pulumi.dev.yaml"
        zones.write_text(zones.read_text() + "  own-cloud-classifier:zones: [europe-west1-b]\n")
        settle = scene.world.google.settle
        slow = iter([False])
        scene.monkeypatch.setattr(scene.world.google, "settle", lambda name: next(slow, True) and settle(name))
        said = scene.run()
        assert "Pulumi no longer waits for the machines, this goes on" in said
        assert scene.image == NEW
        assert len(scene.world.google.groups) == 2
        assert len(scene.world.asked("pulumi", "up")) == 2

    def test_an_update_that_fails_on_something_else_than_a_group(self, scene: Scene) -> None:
        """The way back would run the same program, and fail on the same."""
        scene.world.pulumi.failing["SecurityPolicy"] = "googleapi: Error 403: Required permission is missing"
        file = scene.folder / "Pulumi.dev.yaml"
        file.write_text(file.read_text().replace("203.0.113.0/24", "203.0.113.0/25"))
        sentence = scene.refused()
        assert sentence.startswith(
            "the stack dev could not be updated: SecurityPolicy classifier-dev: googleapi: Error 403"
        )
        assert "No machine is the cause" in sentence
        assert len(scene.world.asked("pulumi", "up")) == 1
        assert scene.is_tidy()

    def test_another_commit_that_answers(self, scene: Scene) -> None:
        sentence = scene.refused(COMMIT="e" * 40)
        assert f"runs commit {COMMIT}, not {'e' * 40}" in sentence
        assert scene.image == OLD

    def test_errors_under_load(self, scene: Scene) -> None:
        scene.monkeypatch.setenv("LOAD_CODE", "1")
        assert "misses its targets under load" in scene.refused()
        assert (scene.image, scene.world.google.serving) == (OLD, {OLD})
        assert scene.is_tidy()

    def test_a_fleet_that_does_not_answer(self, scene: Scene) -> None:
        scene.world.pulumi.fixed_outputs = {"url": "http://classify.invalid:9/"}
        assert "does not answer" in scene.refused()
        assert scene.image == OLD
        assert scene.is_tidy()

    def test_access_that_is_not_granted(self, scene: Scene) -> None:
        scene.world.say("security-policies", "create", err="ERROR: denied\n", code=1)
        assert f"{ADDRESS}, cannot be admitted" in scene.refused()
        assert scene.image == OLD

    def test_a_pulumi_that_is_killed(self, scene: Scene) -> None:
        """It leaves its lock, and ours says that no other Pulumi is at work."""
        scene.world.say("pulumi", "up", code=-9, times=1)

        def leave_a_lock(command: list[str]) -> None:
            if command[1] == "up" and not scene.world.asked("pulumi", "up"):
                scene.world.pulumi.locks.append("22d8693a")

        scene.world.before = leave_a_lock
        assert scene.refused().startswith("Pulumi was ended by signal 9 while it changed the stack dev")
        assert scene.image == OLD
        assert scene.is_tidy()

    def test_going_back_that_fails_too(self, scene: Scene) -> None:
        scene.monkeypatch.setenv("LOAD_CODE", "1")

        def break_the_second(command: list[str]) -> None:
            if command[1] == "up" and scene.world.asked("pulumi", "up"):
                scene.world.pulumi.failing["RegionInstanceGroupManager"] = "googleapi: Error 500"

        scene.world.before = break_the_second
        sentence = scene.refused()
        assert "Going back failed too" in sentence
        assert sentence.endswith(f"run `make rollback STACK=dev IMAGE={OLD}`.")
        assert scene.is_tidy()

    def test_a_first_image_has_none_before_it(self, scene: Scene) -> None:
        scene.world.pulumi.outputs["image"] = ""
        scene.monkeypatch.setenv("LOAD_CODE", "1")
        assert "This was the first image" in scene.refused()
        assert scene.image == NEW

    def test_the_same_image_is_not_gone_back_to(self, scene: Scene) -> None:
        scene.monkeypatch.setenv("LOAD_CODE", "1")
        sentence = scene.refused(IMAGE=OLD, COMMIT=OLD_COMMIT)
        assert "The same image ran before" in sentence
        assert len(scene.world.asked("pulumi", "up")) == 1

    def test_what_somebody_has_deployed_meanwhile_is_left_alone(self, scene: Scene) -> None:
        other = NEW.replace("b", "c")

        def bare_up(command: list[str]) -> None:
            if "rules" in command and "create" in command:
                scene.world.pulumi.outputs["image"] = other

        scene.world.before = bare_up
        scene.monkeypatch.setenv("LOAD_CODE", "1")
        assert f"Meanwhile somebody has deployed {other}, which is left as it is" in scene.refused()
        assert len(scene.world.asked("pulumi", "up")) == 1

    def test_a_bad_image_is_not_what_a_rollback_comes_back_to(self, scene: Scene) -> None:
        scene.monkeypatch.setenv("LOAD_CODE", "1")
        scene.refused()
        assert "holds no other image: choose one with IMAGE=" in scene.refused("rollback")


class TestWhatIsNoFailure:
    def test_spot_machines_that_cannot_be_had_where_others_serve(self, scene: Scene) -> None:
        scene.world.google.shortage = True
        _no_waiting(scene)
        said = scene.run()
        assert "Google has no Spot machines at this moment: 0 of 4 in classifier-dev-spot-" in said
        assert "ZONE_RESOURCE_POOL_EXHAUSTED" in said
        assert "2 older ones serve on, with what ran before" in said
        assert scene.image == NEW

    def test_latency_that_is_missed_from_here(self, scene: Scene) -> None:
        scene.monkeypatch.setenv("LOAD_CODE", "3")
        assert "WARNING: all answers were right, and slower than targets.toml says" in scene.run()
        assert scene.image == NEW

    def test_a_certificate_that_is_not_issued_yet(self, scene: Scene) -> None:
        """Google issues it once DNS leads here, which nobody could set up before the first deployment."""
        file = scene.folder / "Pulumi.dev.yaml"
        file.write_text(
            file.read_text()
            + "  own-cloud-classifier:https: true\n  own-cloud-classifier:domains: [classify.example.com]\n"
        )
        scene.world.pulumi.fixed_outputs = {
            "url": scene.world.pulumi.fixed_outputs["url"].replace("http:", "https:")  # no TLS is spoken there
        }
        managed = {"status": "PROVISIONING", "domains": ["classify.example.com"]}
        scene.world.google.certificates = [
            {"name": "classifier-dev-classify-1a2b3c4", "managed": managed},
            {"name": "somebody-elses", "managed": {"status": "PROVISIONING", "domains": ["example.org"]}},
        ]
        said = scene.run()
        assert "the certificate of classify.example.com is not issued yet: the machines' health was tested" in said
        assert scene.ran == []
        assert scene.image == NEW

    def test_a_certificate_that_has_not_reached_every_front_end(self, scene: Scene) -> None:
        file = scene.folder / "Pulumi.dev.yaml"
        file.write_text(
            file.read_text()
            + "  own-cloud-classifier:https: true\n  own-cloud-classifier:domains: [classify.example.com]\n"
        )
        scene.world.pulumi.fixed_outputs = {"url": scene.world.pulumi.fixed_outputs["url"].replace("http:", "https:")}
        assert "the balancer does not show its certificate yet" in scene.run()
        assert scene.image == NEW

    def test_a_sign_in(self, scene: Scene, served: Fleet) -> None:
        """Behind Identity-Aware Proxy a build cannot sign in: the machines' health has to do, and the log says so."""
        from tests.pipeline import scene as module

        def do_get(handler: module._FleetHandler) -> None:
            handler.send_response(401)
            handler.send_header("X-Goog-IAP-Generated-Response", "true")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        scene.monkeypatch.setattr(module._FleetHandler, "do_GET", do_get)
        assert "Identity-Aware Proxy asks for a sign-in" in scene.run()
        assert scene.ran == []


class TestAccess:
    def test_it_is_this_machines_only_and_goes_again(self, scene: Scene) -> None:
        scene.run()
        (create,) = scene.world.asked("security-policies", "create")
        assert {str(names.TEMPORARY_ACCESS_PRIORITY), "--action=allow", f"--src-ip-ranges={ADDRESS}/32"} <= set(create)
        assert scene.is_tidy()

    def test_without_a_balancer_it_is_in_the_firewall(self, scene: Scene) -> None:
        scene.world.pulumi.fixed_outputs["securityPolicy"] = ""
        scene.run()
        (create,) = scene.world.asked("firewall-rules", "create")
        assert {"classifier-dev-build", f"--source-ranges={ADDRESS}/32", "--allow=tcp:80"} <= set(create)
        assert scene.is_tidy()

    def test_one_that_does_not_go_is_said_and_no_reason_to_go_back(self, scene: Scene) -> None:
        scene.world.say("security-policies", "delete", err="ERROR: denied\n", code=1)
        sentence = scene.refused()
        assert sentence.startswith("the fleet is fine, but the rule that admits this machine could not be removed")
        assert f"gcloud compute security-policies rules delete {names.TEMPORARY_ACCESS_PRIORITY}" in sentence
        assert scene.image == NEW

    def test_one_that_does_not_go_hides_no_bad_image(self, scene: Scene) -> None:
        scene.world.say("security-policies", "delete", err="ERROR: denied\n", code=1)
        scene.monkeypatch.setenv("LOAD_CODE", "1")
        assert "misses its targets under load" in scene.refused()
        assert scene.image == OLD

    def test_what_a_killed_build_left_never_gets_into_the_state(self, scene: Scene) -> None:
        """Pulumi would take it for its own, and fail later on removing what is gone."""
        scene.world.google.rules["900"] = "198.51.100.9/32"
        said = scene.run()
        assert "a rule that an earlier build had left was removed" in said
        assert "refresh: 0 changes" in said


class TestANewerCommit:
    """Builds of two pushes end in either order: the older must not undo the newer one."""

    @pytest.fixture
    def released(self, scene: Scene) -> Scene:
        release = Release(OLD, OLD_COMMIT, 2_000_000_000, 2_000_000_500.0)
        scene.world.google.objects[Bucket(f"gs://{PROJECT}-pulumi-state").url("rollout/dev/last.json")] = (
            7,
            json.dumps(release.__dict__),
        )
        return scene

    def test_is_not_undone_by_an_older_ones_build(self, released: Scene) -> None:
        released.monkeypatch.setattr("pipeline.checkout.committed", lambda _: 1_999_999_999)
        sentence = released.refused(BRANCH="main")
        assert sentence.startswith(
            f"the commit {COMMIT[:12]} is older than {OLD_COMMIT[:12]}, which was released 2033-"
        )
        assert (released.image, released.world.asked("pulumi", "up")) == (OLD, [])

    @pytest.mark.parametrize("committed", [2_000_000_001, 0], ids=["it is newer", "nobody knows"])
    def test_or_one_that_cannot_be_told_is_deployed(self, committed: int, released: Scene) -> None:
        released.monkeypatch.setattr("pipeline.checkout.committed", lambda _: committed)
        released.run(BRANCH="main")
        assert released.image == NEW

    def test_does_not_bind_a_person(self, released: Scene) -> None:
        released.monkeypatch.setattr("pipeline.checkout.committed", lambda _: 1)
        released.run()
        assert released.image == NEW

    @pytest.mark.parametrize(
        "record",
        ["", "null", "[1]", '{"commit": "a"}', '{"image": 1, "commit": 2, "committed": "x", "released": null}'],
    )
    def test_whose_record_is_damaged_is_forgotten(self, record: str, released: Scene) -> None:
        (name,) = (name for name in released.world.google.objects if name.endswith("last.json"))
        released.world.google.objects[name] = (7, record)
        released.monkeypatch.setattr("pipeline.checkout.committed", lambda _: 1)
        released.run(BRANCH="main")
        assert released.image == NEW

    def test_is_written_down(self, scene: Scene) -> None:
        scene.run(BRANCH="main")
        (text,) = (text for name, (_, text) in scene.world.google.objects.items() if name.endswith("last.json"))
        assert json.loads(text)["commit"] == COMMIT
        assert json.loads(text)["image"] == NEW


class TestByHand:
    def test_rollback_finds_what_ran_before(self, scene: Scene) -> None:
        scene.run()
        assert f"rollback: {OLD} runs at" in scene.run("rollback")
        assert (scene.image, scene.world.google.serving) == (OLD, {OLD})

    def test_rollback_takes_an_image(self, scene: Scene) -> None:
        scene.run("rollback", IMAGE=NEW)
        assert scene.image == NEW

    def test_rollback_without_a_past(self, scene: Scene) -> None:
        assert "holds no other image: choose one with IMAGE=" in scene.refused("rollback")
        assert scene.world.asked("pulumi", "up") == []

    def test_rollback_to_an_image_that_is_gone(self, scene: Scene) -> None:
        scene.world.google.registry.clear()
        assert f"the registry no longer has {NEW}" in scene.refused("rollback", IMAGE=NEW)
        assert scene.image == OLD

    def test_rollback_where_the_registry_does_not_say(self, scene: Scene) -> None:
        """That is no word about the image."""
        denied = "ERROR: (gcloud.artifacts.versions.describe) PERMISSION_DENIED: Permission denied.\n"
        scene.world.say("artifacts", "describe", err=denied, code=1)
        assert "does not say whether it still has" in scene.refused("rollback", IMAGE=NEW)
        assert scene.image == OLD

    def test_rollback_asks_for_the_image_with_the_rights_of_a_build(self, scene: Scene) -> None:
        """`docker images describe` asks Container Analysis too, for which the builds' accounts have no role."""
        scene.run("rollback", IMAGE=NEW)
        (words,) = scene.world.asked("artifacts", "versions", "describe")
        assert words[4] == NEW.partition("@")[2]
        assert scene.world.asked("docker", "images") == []

    def test_rollback_to_a_tag(self, scene: Scene) -> None:
        assert "expected a digest" in scene.refused("rollback", IMAGE=f"{REGISTRY}/classifier:1")
        assert scene.world.calls == []

    def test_renewing_makes_new_machines_of_the_same_image(self, scene: Scene) -> None:
        before = {machine.name for group in scene.world.google.groups.values() for machine in group.machines}
        scene.run("renew")
        after = {machine.name for group in scene.world.google.groups.values() for machine in group.machines}
        assert scene.image == OLD
        assert scene.world.pulumi.outputs["refreshed"]
        assert not before & after
        assert scene.world.asked("security-policies", "create") == []

    def test_renewing_nothing(self, scene: Scene) -> None:
        scene.world.pulumi.outputs["image"] = ""
        assert "runs no image" in scene.refused("renew")

    def test_promoting_takes_the_image_of_another_stack(self, scene: Scene) -> None:
        asked: list[str] = []

        class Promotion:
            @staticmethod
            def promote(image: str, registry: str) -> str:
                asked.extend((image, registry))
                return NEW

            @staticmethod
            def commit(image: str) -> str:  # noqa: ARG004  # as the real one
                return COMMIT

        scene.monkeypatch.setitem(__import__("sys").modules, "pipeline.promote", Promotion)
        scene.monkeypatch.setattr("pipeline.promote", Promotion, raising=False)
        shutil.copy(scene.folder / "Pulumi.dev.yaml", scene.folder / "Pulumi.prod.yaml")
        scene.run("promote", FROM="dev", COMMIT="e" * 40)
        assert asked == [OLD, REGISTRY]
        assert scene.image == NEW


def test_no_step_reads_the_environment_on_its_own() -> None:
    """It is read in one place; what is handed on to other programs is another thing."""
    readers = {
        file.name
        for file in (REPOSITORY / "pipeline").glob("*.py")
        if "environ.get" in file.read_text("utf-8") or "getenv" in file.read_text("utf-8")
    }
    # The steps of the image are not part of a rollout.
    assert readers <= {"inside.py", "container_probe.py", "promote.py", "pin.py", "registries.py"}


class TestKnownAnswers:
    @pytest.fixture
    def known(self, scene: Scene) -> Scene:
        """An image with a sample, which the fleet classifies as it was recorded."""
        artifacts = scene.folder / ".pipeline"
        (artifacts / "sample.jpg").write_bytes(SAMPLE)
        sample = {"file": "sample.jpg", "answers": {"fp32": [[3, 0.9], [5, 0.05]]}}
        (artifacts / "manifest.json").write_text(json.dumps({"samples": [sample], "tolerance": {"fp32": 0.02}}))
        return scene

    def test_are_asked_for_through_the_balancer(self, known: Scene) -> None:
        assert "1 of 1 known answers are right through the balancer" in known.run()

    def test_that_are_wrong_end_with_the_old_image(self, known: Scene) -> None:
        file = known.folder / ".pipeline" / "manifest.json"
        file.write_text(file.read_text().replace("[3, 0.9]", "[4, 0.9]"))
        assert "the known answer for sample.jpg is wrong: class 4 has probability 0.0000" in known.refused()
        assert (known.image, known.world.google.serving) == (OLD, {OLD})
        assert known.is_tidy()

    @pytest.mark.parametrize(("tolerance", "right"), [({"fp32": 0.06}, True), ({"fp32": 0.04}, False), (None, False)])
    def test_may_differ_by_what_the_image_says(
        self, tolerance: dict[str, float] | None, right: bool, known: Scene
    ) -> None:
        """Recorded is 0.9; one that does not say is of an earlier commit, when 2 % was the rule for FP32."""
        file = known.folder / ".pipeline" / "manifest.json"
        manifest = json.loads(file.read_text())
        manifest["samples"][0]["answers"]["fp32"][0][1] = 0.9 / 0.95
        file.write_text(
            json.dumps({**manifest, "tolerance": tolerance} if tolerance else {"samples": manifest["samples"]})
        )
        if right:
            assert "1 of 1 known answers are right" in known.run()
        else:
            assert "class 3 has probability 0.9000, and 0.9474 was recorded" in known.refused()

    def test_that_are_missing_are_said(self, known: Scene) -> None:
        (known.folder / ".pipeline" / "manifest.json").unlink()
        assert "the image's known answers cannot be read" in known.refused()


def _no_waiting(scene: Scene) -> None:
    """Let the limit pass at once: each look counts as a minute."""
    from pipeline import machines

    ticks = iter(range(10_000))
    wait = machines.wait
    scene.monkeypatch.setattr(
        machines, "wait", lambda *given, **_: wait(*given, pause=lambda _: None, clock=lambda: 60.0 * next(ticks))
    )


def test_a_lock_that_is_held_is_not_taken(scene: Scene) -> None:
    scene.world.google.objects[f"gs://{PROJECT}-pulumi-state/rollout/dev/lock.json"] = (
        3,
        json.dumps(
            {
                "who": "anna",
                "host": "her-laptop",
                "pid": 4711,
                "build": "",
                "action": "deploy",
                "began": 2_000_000_000.0,
                "renewed": 4_000_000_000.0,
                "token": "t",
            }
        ),
    )
    with pytest.raises(Locked, match=r"anna@her-laptop \(process 4711\), deploy since"):
        scene.run()
    assert scene.world.asked("pulumi") == []
