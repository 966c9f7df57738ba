"""The step `rollout`: the new image, tested through the balancer, or the old one again; and why, in one sentence.

The fleet that is asked is the real service; Pulumi and gcloud are stand-ins that answer as the real ones do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import door
from pipeline import rollout as rollout_module
from pipeline.rollout import Rollout
from pipeline.stack import Stack
from service.bundle import Bundle
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import COMMIT, NEW, OLD, PROJECT, REGION, REGISTRY, Tools, complaint, python, recorded, run
from tests.server import Server, running

GROUPS = ["classifier-dev-on-demand-1a2b3c4", "classifier-dev-spot-5d6e7f8"]
HEALTHY = [
    {
        "currentAction": "NONE",
        "instance": f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones/{REGION}-b/instances/m-{name}",
        "instanceHealth": [{"detailedHealthState": "HEALTHY"}],
        "instanceStatus": "RUNNING",
    }
    for name in ("x1x1", "y2y2")
]
POLICY = "classifier-dev-9f8e7d6"


@pytest.fixture(scope="module")
def fleet(digits_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service itself, in place of the fleet behind its balancer."""
    with running(tmp_path_factory.mktemp("fleet"), MODEL_DIR=digits_bundle.path, COMMIT=COMMIT) as server:
        yield server


@pytest.fixture
def deployment(checkout: Path, tools: Tools, fleet: Server, digits_bundle: Bundle) -> Path:
    """A checkout after the step `push`, and a stack that runs OLD."""
    left = checkout / ".pipeline"
    left.mkdir()
    (left / "digest").write_text(NEW + "\n")
    shutil.copy(digits_bundle.path / "manifest.json", left)
    shutil.copytree(digits_bundle.path / "samples", left / "samples")
    # Quick, and as the load test ends where all targets are met; what it really does is tested in tests/loadtest.
    (checkout / "pipeline" / "load.sh").write_text('#!/usr/bin/env bash\necho "load $*" >>ran\nexit ${LOAD_CODE:-0}\n')
    tools.say("list-instances", out=json.dumps(HEALTHY))
    tools.say("pulumi", "preview", out=recorded("preview.txt"))
    runs(tools, fleet, OLD)
    return checkout


def runs(tools: Tools, fleet: Server, image: str, **other: object) -> None:
    outputs = {
        "image": image,
        "registry": REGISTRY,
        "region": REGION,
        "groups": GROUPS,
        "url": f"http://127.0.0.1:{fleet.port}/",
        "securityPolicy": POLICY,
        "network": "classifier-dev-0a1b2c3",
        "serviceAccount": f"classifier-dev@{PROJECT}.iam.gserviceaccount.com",
        **other,
    }
    tools.say("stack", "output", "--json", out=json.dumps(outputs))


def rollout(folder: Path, tools: Tools, action: str = "deploy", **settings: object) -> subprocess.CompletedProcess[str]:
    given = {
        "COMMIT": COMMIT,
        "BUILD_ADDRESS": "203.0.113.77",
        "LOCK_WAIT_SEC": 0,
        "READY_LIMIT_SEC": 0,
        **settings,
    }
    return run(python("pipeline.rollout", action), folder, tools, **given)


def images(tools: Tools) -> list[str]:
    """Return the images that the stack was told to run, in order."""
    return [
        word.partition("=")[2]
        for call in tools.calls("pulumi", "up")
        for word in call
        if word.startswith("own-cloud-classifier:image=")
    ]


def door_is_closed(tools: Tools) -> bool:
    calls = tools.calls("security-policies")
    return not calls or "delete" in calls[-1]


def test_a_good_image_is_deployed_by_its_digest_and_tested_through_the_balancer(deployment: Path, tools: Tools) -> None:
    result = rollout(deployment, tools)
    assert result.returncode == 0, result.stderr
    assert images(tools) == [NEW]
    assert f"{NEW} runs at http://127.0.0.1:" in result.stdout
    assert "known answers are right through the balancer" in result.stdout
    assert (deployment / "ran").read_text().startswith("load http://127.0.0.1:")
    waited = [call[5] for call in tools.calls("wait-until", "--version-target-reached")]
    assert waited == GROUPS
    assert [call[5] for call in tools.calls("list-instances")] == GROUPS


def test_everything_happens_in_order(deployment: Path, tools: Tools) -> None:
    """What would change is looked at before anything does; the door opens after the machines are healthy."""
    rollout(deployment, tools)
    words = ["preview", "up", "wait-until", "list-instances", "create", "delete"]
    order = [next((word for word in words if word in call), "") for call in tools.calls()]
    found = [word for word in order if word]
    assert found == [
        "preview",
        "up",
        *["wait-until", "list-instances"] * 2,
        "delete",  # what a killed build may have left
        "create",
        "delete",
    ]


def test_the_stack_is_asked_for_in_its_own_bucket(deployment: Path, tools: Tools) -> None:
    """By the environment: `pulumi login` would change what a person's own later commands talk to."""
    tools.say("pulumi", "up", out="x")
    (tools.folder / "pulumi").write_text(
        f"#!/bin/sh\necho $PULUMI_BACKEND_URL >>{tools.folder}/backend\nexec {sys.executable} "
        f'{REPOSITORY}/tests/pipeline/fake_tool.py pulumi "$@"\n'
    )
    rollout(deployment, tools)
    assert set((tools.folder / "backend").read_text().split()) == {f"gs://{PROJECT}-pulumi-state"}
    assert tools.calls("login") == []


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
    def test_a_tag_in_place_of_a_digest(self, image: str, deployment: Path, tools: Tools) -> None:
        (deployment / ".pipeline" / "digest").write_text(image)
        sentence = complaint(rollout(deployment, tools))
        assert sentence.startswith(f"the image is {image!r}: expected a digest")
        assert tools.calls() == []

    def test_no_image_at_all(self, deployment: Path, tools: Tools) -> None:
        (deployment / ".pipeline" / "digest").unlink()
        assert complaint(rollout(deployment, tools)).startswith("no image was given: run the step `push` first")
        assert tools.calls() == []

    def test_a_locked_stack(self, deployment: Path, tools: Tools) -> None:
        tools.say("pulumi", "up", err=recorded("locked.txt"), code=255)
        sentence = complaint(rollout(deployment, tools))
        assert sentence.startswith("the stack dev is locked (gs://my-project-pulumi-state/.pulumi/locks/")
        assert "created by root@6d33034d39d7 (pid 285)" in sentence
        assert "pulumi cancel --stack dev" in sentence
        assert images(tools) == [NEW]  # it was refused, and nobody tries to go back from where nobody went

    def test_a_lock_is_waited_for(
        self, deployment: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tools.say("pulumi", "up", err=recorded("locked.txt"), code=255, times=2)
        tools.install(monkeypatch)
        waits: list[float] = []
        Stack("dev", "gs://bucket", lock_wait_sec=60, pause=waits.append).up(NEW)
        assert len(waits) == 2
        assert images(tools) == [NEW] * 3
        assert "the stack is locked, asking again" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("said", "sentence"),
        [
            ("bucket.txt", f"the state bucket gs://{PROJECT}-pulumi-state cannot be reached: run `make bootstrap`"),
            (
                "no_stack.txt",
                f"there is no stack dev in gs://{PROJECT}-pulumi-state: make it with `make bootstrap STACK=dev`",
            ),
            ("passphrase.txt", "Pulumi.dev.yaml names no key of Cloud KMS"),
        ],
    )
    def test_a_state_that_cannot_be_read(self, said: str, sentence: str, deployment: Path, tools: Tools) -> None:
        tools.say("stack", "output", err=recorded(said), code=255)
        assert complaint(rollout(deployment, tools)).startswith(sentence)
        assert images(tools) == []

    def test_settings_that_the_program_refuses(self, deployment: Path, tools: Tools) -> None:
        words = "Diagnostics:\n  pulumi:pulumi:Stack:\n    error: The configuration of stack dev has mistakes.\n"
        tools.say("pulumi", "preview", out=words, code=255)
        sentence = complaint(rollout(deployment, tools))
        assert sentence == "Pulumi failed on stack dev: error: The configuration of stack dev has mistakes."
        assert images(tools) == []

    def test_another_project_than_the_stacks(self, deployment: Path, tools: Tools) -> None:
        assert "this build is in other-project" in complaint(rollout(deployment, tools, PROJECT="other-project"))
        assert tools.calls() == []

    def test_a_stack_without_a_file(self, deployment: Path, tools: Tools) -> None:
        assert "Pulumi.prod.yaml is missing" in complaint(rollout(deployment, tools, STACK="prod"))
        assert tools.calls() == []

    def test_an_unknown_action(self, deployment: Path, tools: Tools) -> None:
        assert complaint(rollout(deployment, tools, "destroy")).startswith("the action is 'destroy'")
        assert tools.calls() == []


class TestTheOldImageAgain:
    """What fails after the fleet was touched ends with the image that ran before, and a failed build."""

    def test_an_update_that_fails(self, deployment: Path, tools: Tools) -> None:
        tools.say("pulumi", "up", out=recorded("failed_up.txt"), code=255, times=1)
        sentence = complaint(rollout(deployment, tools))
        assert images(tools) == [NEW, OLD]
        assert "timeout while waiting for state" in sentence
        assert sentence.endswith(f"The fleet runs {OLD} again.")

    def test_a_group_that_is_not_updated(self, deployment: Path, tools: Tools) -> None:
        tools.say("wait-until", err="ERROR: (gcloud...wait-until) Timeout while waiting.\n", code=1, times=1)
        assert complaint(rollout(deployment, tools)).startswith(f"the group {GROUPS[0]} is not updated")
        assert images(tools) == [NEW, OLD]

    def test_known_answers_that_are_wrong(self, deployment: Path, tools: Tools) -> None:
        file = deployment / ".pipeline" / "manifest.json"
        manifest = json.loads(file.read_text())
        for answers in manifest["samples"][0]["answers"].values():
            answers[0][0] = (answers[0][0] + 1) % 10
        file.write_text(json.dumps(manifest))
        assert "the known answer for samples/digit-" in complaint(rollout(deployment, tools))
        assert images(tools) == [NEW, OLD]
        assert door_is_closed(tools)

    def test_another_commit_that_answers(self, deployment: Path, tools: Tools) -> None:
        sentence = complaint(rollout(deployment, tools, COMMIT="f" * 40))
        assert f"runs commit {COMMIT}, not {'f' * 40}" in sentence
        assert images(tools) == [NEW, OLD]

    def test_targets_that_are_missed(self, deployment: Path, tools: Tools) -> None:
        assert "misses its targets under load" in complaint(rollout(deployment, tools, LOAD_CODE=1))
        assert images(tools) == [NEW, OLD]
        assert door_is_closed(tools)

    def test_a_fleet_that_does_not_answer(self, deployment: Path, tools: Tools, fleet: Server) -> None:
        runs(tools, fleet, OLD, url="http://127.0.0.1:9/")
        assert "does not answer" in complaint(rollout(deployment, tools))
        assert images(tools) == [NEW, OLD]
        assert door_is_closed(tools)

    def test_a_door_that_does_not_open(self, deployment: Path, tools: Tools) -> None:
        tools.say("security-policies", "create", err="ERROR: denied\n", code=1)
        sentence = complaint(rollout(deployment, tools))
        assert "203.0.113.77, cannot be admitted" in sentence
        assert images(tools) == [NEW, OLD]

    def test_going_back_that_fails_too(self, deployment: Path, tools: Tools) -> None:
        tools.say("pulumi", "up", out=recorded("failed_up.txt"), code=255)
        sentence = complaint(rollout(deployment, tools))
        assert "Going back failed too" in sentence
        assert sentence.endswith(f"run `make rollback STACK=dev IMAGE={OLD}`.")

    def test_a_first_image_has_none_before_it(self, deployment: Path, tools: Tools, fleet: Server) -> None:
        runs(tools, fleet, "")
        assert "This was the first image" in complaint(rollout(deployment, tools, LOAD_CODE=1))
        assert images(tools) == [NEW]

    def test_the_same_image_is_not_gone_back_to(self, deployment: Path, tools: Tools, fleet: Server) -> None:
        runs(tools, fleet, NEW)
        assert "The same image ran before" in complaint(rollout(deployment, tools, LOAD_CODE=1))
        assert images(tools) == [NEW]


class TestTheDoor:
    def test_it_admits_this_machine_only_and_goes_again(self, deployment: Path, tools: Tools) -> None:
        rollout(deployment, tools)
        (create,) = tools.calls("security-policies", "create")
        assert {
            str(door.PRIORITY),
            f"--security-policy={POLICY}",
            "--action=allow",
            "--src-ip-ranges=203.0.113.77/32",
        } <= set(create)
        assert door_is_closed(tools)

    def test_without_a_balancer_it_is_in_the_firewall(self, deployment: Path, tools: Tools, fleet: Server) -> None:
        runs(tools, fleet, OLD, securityPolicy=None)
        assert rollout(deployment, tools).returncode == 0
        (create,) = tools.calls("firewall-rules", "create")
        assert {"classifier-dev-build", "--source-ranges=203.0.113.77/32", "--allow=tcp:80"} <= set(create)
        assert "delete" in tools.calls("firewall-rules")[-1]

    def test_one_that_does_not_close_is_said_and_no_reason_to_go_back(
        self, deployment: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tools.say("security-policies", "delete", err="ERROR: denied\n", code=1)
        tools.install(monkeypatch)
        monkeypatch.chdir(deployment)
        monkeypatch.setenv("BUILD_ADDRESS", "203.0.113.77")
        monkeypatch.setattr(door, "_PAUSE_SEC", 0)
        monkeypatch.setattr(rollout_module, "_HERE", deployment / "pipeline")
        with pytest.raises(door.LeftOpen, match="could not be closed") as reason:
            Rollout(Stack("dev", "gs://bucket"), PROJECT, COMMIT).deploy(NEW)
        assert f"gcloud compute security-policies rules delete {door.PRIORITY}" in str(reason.value)
        assert images(tools) == [NEW]


def test_a_sign_in_is_no_failure(deployment: Path, tools: Tools, fleet: Server, tmp_path: Path) -> None:
    """Behind Identity-Aware Proxy a build cannot sign in: the machines' health has to do, and the log says so."""
    import http.server
    import threading

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("X-Goog-IAP-Generated-Response", "true")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        runs(tools, fleet, OLD, url=f"http://127.0.0.1:{server.server_port}/")
        result = rollout(deployment, tools)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert result.returncode == 0, result.stderr
    assert "Identity-Aware Proxy asks for a sign-in" in result.stdout
    assert not (deployment / "ran").exists()


class TestByHand:
    def history(self, *images: str) -> str:
        entries = [
            {
                "kind": "update",
                "result": "succeeded",
                "config": {"own-cloud-classifier:image": {"value": image, "secret": False}},
            }
            for image in images
        ]
        failed = {
            **entries[0],
            "result": "failed",
            "config": {"own-cloud-classifier:image": {"value": NEW.replace("b", "c")}},
        }
        refresh = {**entries[0], "kind": "refresh"}
        foundations = {"kind": "update", "result": "succeeded", "config": {"gcp:project": {"value": PROJECT}}}
        return json.dumps([refresh, failed, *entries, foundations])

    def test_rollback_finds_what_ran_before(self, deployment: Path, tools: Tools, fleet: Server) -> None:
        runs(tools, fleet, NEW)
        tools.say("stack", "history", out=self.history(NEW, NEW, OLD))
        result = rollout(deployment, tools, "rollback")
        assert result.returncode == 0, result.stderr
        assert images(tools) == [OLD]
        assert f"rollback: {OLD} runs at" in result.stdout

    def test_rollback_takes_an_image(self, deployment: Path, tools: Tools) -> None:
        assert rollout(deployment, tools, "rollback", IMAGE=NEW).returncode == 0
        assert images(tools) == [NEW]

    def test_rollback_without_a_past(self, deployment: Path, tools: Tools, fleet: Server) -> None:
        runs(tools, fleet, NEW)
        tools.say("stack", "history", out=self.history(NEW))
        assert "holds no other image: choose one with IMAGE=" in complaint(rollout(deployment, tools, "rollback"))
        assert images(tools) == []

    def test_rollback_to_an_image_that_is_gone(self, deployment: Path, tools: Tools) -> None:
        tools.say("images", "describe", err="ERROR: Image not found.\n", code=1)
        assert f"the registry no longer has {OLD}" in complaint(rollout(deployment, tools, "rollback", IMAGE=OLD))
        assert images(tools) == []

    def test_rollback_to_a_tag(self, deployment: Path, tools: Tools) -> None:
        assert "expected a digest" in complaint(
            rollout(deployment, tools, "rollback", IMAGE=f"{REGISTRY}/classifier:1")
        )
        assert images(tools) == []

    def test_up_keeps_the_image_that_runs(self, deployment: Path, tools: Tools) -> None:
        """Without an image the program makes the foundations only: a bare `pulumi up` would take the fleet down."""
        assert rollout(deployment, tools, "up").returncode == 0
        assert images(tools) == [OLD]
        assert "--yes" not in tools.calls("pulumi", "up")[0]

    def test_up_makes_the_foundations_first(self, deployment: Path, tools: Tools) -> None:
        tools.say("stack", "output", "--json", out="{}")
        assert rollout(deployment, tools, "up").returncode == 0
        assert tools.calls("pulumi", "up") == [["pulumi", "up", "--stack", "dev"]]
