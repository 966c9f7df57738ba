"""Objects in the state's bucket: gcloud's refusals, and what happens when two write at once."""

from __future__ import annotations

import pytest

from pipeline.bucket import NONE, Bucket, Changed
from pipeline.errors import StepFailed
from tests.pipeline.world import World

FORBIDDEN = (
    "ERROR: (gcloud.storage.cp) HTTPError 403: me@example.com does not have storage.objects.create access to the "
    "Google Cloud Storage object.\n"
)
# gcloud 528.0.0: `cp` lists the folder first, and of a missing bucket says this (api_lib/storage/errors.py).
NO_BUCKET = "ERROR: (gcloud.storage.cp) gs://a-bucket not found: 404.\n"


@pytest.fixture
def bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("PATH", world.environment["PATH"])
    return Bucket("gs://a-bucket")


def test_what_was_written_is_read_with_its_generation(bucket: Bucket) -> None:
    generation = bucket.write("x", "some text", NONE)
    found = bucket.read("x")
    assert found is not None
    assert (found.text, found.generation) == ("some text", generation)


def test_there_may_be_none(bucket: Bucket) -> None:
    assert bucket.read("x") is None


def test_of_two_who_make_it_one_is_told(bucket: Bucket) -> None:
    bucket.write("x", "mine", NONE)
    with pytest.raises(Changed, match="gs://a-bucket/x was changed by somebody else"):
        bucket.write("x", "theirs", NONE)


def test_of_two_who_replace_it_one_is_told(bucket: Bucket) -> None:
    first = bucket.write("x", "1", NONE)
    bucket.write("x", "2", first)
    with pytest.raises(Changed):
        bucket.write("x", "3", first)


def test_what_somebody_has_replaced_is_not_removed(bucket: Bucket) -> None:
    first = bucket.write("x", "1", NONE)
    bucket.write("x", "2", first)
    with pytest.raises(Changed):
        bucket.remove("x", first)


def test_what_somebody_has_removed_is_said(bucket: Bucket) -> None:
    with pytest.raises(Changed):
        bucket.remove("x", "7")


def test_what_is_replaced_between_two_commands_is_looked_at_again(bucket: Bucket, world: World) -> None:
    first = bucket.write("x", "1", NONE)

    def replace(command: list[str]) -> None:
        if "cat" in command and len(world.asked("cat")) == 0:
            world.google.objects["gs://a-bucket/x"] = (int(first) + 1, "2")

    world.before = replace
    found = bucket.read("x")
    assert found is not None
    assert found.text == "2"


@pytest.mark.parametrize("action", ["write", "remove"])
def test_an_account_that_may_not_write(action: str, bucket: Bucket, world: World) -> None:
    world.say("cp", err=FORBIDDEN, code=1)
    world.say("rm", err=FORBIDDEN, code=1)
    with pytest.raises(StepFailed, match="cannot be written: run `make bootstrap`, or let this account") as reason:
        bucket.write("x", "1", None) if action == "write" else bucket.remove("x", "1")
    assert not isinstance(reason.value, Changed)


@pytest.mark.parametrize(("command", "words"), [("describe", "cannot be looked for"), ("cat", "cannot be read")])
def test_an_account_that_may_not_read(command: str, words: str, bucket: Bucket, world: World) -> None:
    bucket.write("x", "1", NONE)
    world.say(command, err=FORBIDDEN, code=1)
    with pytest.raises(StepFailed, match=words):
        bucket.read("x")


@pytest.mark.parametrize("generation", [NONE, "7", None])
def test_a_bucket_that_is_gone_is_no_object_that_was_changed(
    generation: str | None, bucket: Bucket, world: World
) -> None:
    """Who waits for the other to be done would wait for ever."""
    world.say("cp", err=NO_BUCKET, code=1)
    with pytest.raises(StepFailed, match=r"does not exist: run `make bootstrap`") as reason:
        bucket.write("x", "{}", generation)
    assert not isinstance(reason.value, Changed)


@pytest.mark.parametrize("said", ["", "WARNING: a newer gcloud is there\n17"])
def test_what_is_no_generation_is_said(said: str, bucket: Bucket, world: World) -> None:
    world.say("describe", out=said)
    with pytest.raises(StepFailed, match="where it should say the number of a generation: see why with `gcloud"):
        bucket.read("x")
