"""Objects in the state's bucket: who writes learns whether somebody else was faster, and is told where nobody can."""

from __future__ import annotations

import pytest

from pipeline import bucket
from pipeline.bucket import Bucket, Changed
from pipeline.errors import StepFailed
from tests.pipeline.conftest import Tools

HERE = Bucket("gs://my-project-pulumi-state")
URL = "gs://my-project-pulumi-state/rollout/dev/lock.json"
# gcloud 528.0.0: `cp` lists the folder first, and of a missing bucket says this (api_lib/storage/errors.py).
NO_BUCKET = "ERROR: (gcloud.storage.cp) gs://my-project-pulumi-state not found: 404.\n"
NO_OBJECT = f"ERROR: (gcloud.storage.objects.describe) {URL} not found: 404.\n"


@pytest.fixture
def gcloud(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> Tools:
    tools.install(monkeypatch)
    return tools


@pytest.mark.parametrize("generation", [bucket.NONE, "7", None])
def test_a_bucket_that_is_gone_is_no_object_that_was_changed(generation: str | None, gcloud: Tools) -> None:
    """Who waits for the other to be done would wait for ever."""
    gcloud.say("cp", err=NO_BUCKET, code=1)
    with pytest.raises(StepFailed, match=r"does not exist: run `make bootstrap`") as reason:
        HERE.write("rollout/dev/lock.json", "{}", generation)
    assert not isinstance(reason.value, Changed)


@pytest.mark.parametrize("said", ["", "WARNING: a newer gcloud is there\n17"])
def test_what_is_no_generation_is_said(said: str, gcloud: Tools) -> None:
    gcloud.say("describe", out=said)
    gcloud.say("cat", err=f"ERROR: The following URLs matched no objects or files:\n-{URL}\n", code=1)
    with pytest.raises(
        StepFailed, match="where it should say the number of a generation: see why with `gcloud storage"
    ):
        HERE.read("rollout/dev/lock.json")


def test_an_object_that_is_not_there_is_none(gcloud: Tools) -> None:
    gcloud.say("describe", err=NO_OBJECT, code=1)
    assert HERE.read("rollout/dev/lock.json") is None
