"""Who counts as dead, and whose lock nobody can read: drills kill holders for real (test_drills.py)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from pipeline import lock
from pipeline.bucket import Bucket
from pipeline.errors import Locked
from pipeline.settings import Settings
from tests.pipeline.world import World

BUCKET = "gs://my-project-pulumi-state"
OBJECT = f"{BUCKET}/rollout/dev/lock.json"
NOW = 2_000_000_000.0
IMPATIENT = Settings(lock_wait_sec=0.0)


@pytest.fixture
def bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    return Bucket(BUCKET)


def taken(bucket: Bucket) -> str:
    """Take the lock and give it back; returns who held it and is dead."""
    with lock.held("deploy", "dev", bucket, IMPATIENT, clock=lambda: NOW) as held:
        return str(held.predecessor or "")


def holder(**more: Any) -> str:
    """Return what a holder of a second ago writes whose process is gone."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    common = {"who": "anna", "build": "", "action": "deploy", "began": NOW - 60, "renewed": NOW - 1, "token": "t"}
    here = {"host": socket.gethostname(), "machine": lock._machine(), "pid": gone.pid}
    return json.dumps({**common, **here, **more})


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once(bucket: Bucket, world: World) -> None:
    world.google.objects[OBJECT] = (3, holder())
    assert taken(bucket).startswith("anna@")
    assert OBJECT not in world.google.objects


@pytest.mark.parametrize(
    "other",
    [{"host": "her-laptop"}, {"machine": "02000000beef"}, {"machine": ""}, {"pid": os.getpid()}],
    ids=["another machine", "another machine of this name", "an older commit's", "a process that works"],
)
def test_a_holder_of_whom_nobody_here_knows_is_waited_for(other: dict[str, Any], bucket: Bucket, world: World) -> None:
    """Two laptops, or two virtual machines of one image, may have one name: neither sees the other's processes."""
    world.google.objects[OBJECT] = (3, holder(**other))
    with pytest.raises(Locked, match="somebody else changes this stack: anna@"):
        taken(bucket)
    assert world.google.objects[OBJECT][0] == 3


def test_one_that_says_nothing_for_five_minutes_is_dead(bucket: Bucket, world: World) -> None:
    world.google.objects[OBJECT] = (3, holder(host="her-laptop", renewed=NOW - 301))
    assert taken(bucket).startswith("anna@her-laptop")


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[1]", '"a"', "{}", holder(renewed="soon"), holder(began=None), holder(pid="x")]
)
def test_what_nobody_can_read_is_no_living_holders(text: str, bucket: Bucket, world: World) -> None:
    world.google.objects[OBJECT] = (3, text)
    assert taken(bucket)
    assert OBJECT not in world.google.objects
