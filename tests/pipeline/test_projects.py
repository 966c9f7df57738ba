"""A project's id has one rule, wherever one is given: what one place takes, no later one may refuse."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.checks import mistakes
from infra.settings import Settings
from pipeline import bootstrap_request, checkout, images, inputs, promote
from pipeline.errors import StepFailed

REGION = "europe-west1"
GOOD = ("my-project", "a12345", "x" + "-1" * 14 + "z")
BAD = (
    "example.com:my-project",
    "My-Project",
    "123456789012",
    "my_project",
    "1project",
    "my-project-",
    "short",
    "x" * 31,
)


def settings(project: str = GOOD[0], **values: str) -> Settings:
    return Settings("dev", project, REGION, allowlist=("203.0.113.7/32",), **values)  # type: ignore[arg-type]


def complaint(action: Callable[[], object]) -> str:
    """Return the sentence that stops an action, or nothing."""
    try:
        action()
    except StepFailed as reason:
        return str(reason)
    return ""


def registry(project: str) -> str:
    return f"{REGION}-docker.pkg.dev/{project}/classifier-dev"


def image(project: str) -> str:
    return f"{registry(project)}/classifier@sha256:{'0' * 64}"


def bootstrap(project: str) -> str:
    return complaint(lambda: bootstrap_request.read([], {"PROJECT": project, "REGION": REGION}))


def build(project: str) -> str:
    given = {"ACTION": "renew", "PROJECT": project, "REGION": REGION, "STACK": "dev"}
    return "".join(sentence for sentence in inputs.mistakes(given) if "PROJECT_ID" in sentence)


def program(project: str) -> str:
    return "".join(mistakes(settings(project)))


def machine_image(project: str) -> str:
    return "".join(mistakes(settings(machine_image=f"projects/{project}/global/images/family/cos-stable")))


def stack_file(project: str) -> str:
    Path("Pulumi.dev.yaml").write_text(f"config:\n  gcp:project: '{project}'\n  gcp:region: {REGION}\n")
    return complaint(lambda: checkout.location("dev"))


def image_of_a_rollout(project: str) -> str:
    return complaint(lambda: images.by_digest(image(project)))


def promotion(project: str) -> str:
    """By hand; a good one goes as far as Docker, which is not installed here."""
    sys.argv = ["promote", image(GOOD[0]), registry(project)]
    sentence = complaint(promote._main)
    return "" if sentence.startswith("no-such-program is not installed") else sentence


PLACES = (bootstrap, build, program, machine_image, stack_file, image_of_a_rollout, promotion)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("DOCKER", "no-such-program")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
class TestEveryPlace:
    @pytest.mark.parametrize("project", BAD)
    def test_refuses(self, project: str, place: Callable[[str], str]) -> None:
        assert project in place(project)

    @pytest.mark.parametrize("project", GOOD)
    def test_takes(self, project: str, place: Callable[[str], str]) -> None:
        assert place(project) == ""
