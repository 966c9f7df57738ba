"""One rollout at a time: who holds a stack's lock, who counts as dead, and who notices that it was replaced."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pipeline import lock, lock_holder
from pipeline.bucket import NONE, Changed, Content
from pipeline.errors import Locked, LockLost, StepFailed
from pipeline.lock import Lock
from pipeline.lock_holder import Holder
from pipeline.settings import Settings

NAME = "rollout/dev/lock.json"
# A process of this machine that is gone: its number is above any that Linux gives.
HERE = {"host": socket.gethostname(), "machine": lock_holder.machine(), "pid": 2**22 + 1}


class Bucket:
    """Objects with generations in memory; `fail` makes the next writes end in an error."""

    def __init__(self) -> None:
        self.objects: dict[str, Content] = {}
        self.fail = 0
        self._generation = 0

    def read(self, name: str) -> Content | None:
        return self.objects.get(name)

    def write(self, name: str, text: str, generation: str | None) -> str:
        if self.fail:
            self.fail -= 1
            raise StepFailed("no network")
        if generation != (self.objects[name].generation if name in self.objects else NONE):
            raise Changed("changed")
        self._generation += 1
        self.objects[name] = Content(text, str(self._generation))
        return str(self._generation)

    def remove(self, name: str, generation: str) -> None:
        if name not in self.objects or self.objects[name].generation != generation:
            raise Changed("changed")
        del self.objects[name]

    @property
    def held(self) -> dict[str, Any]:
        return dict(json.loads(self.objects[NAME].text))


class Clock:
    now = 1_000_000.0

    def pause(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def held(bucket: Bucket, clock: Clock) -> Callable[..., Any]:
    """Holds the lock of the stack dev, at the times of the fake clock; nothing is renewed by itself."""

    def hold(action: str = "deploy", **given: Any) -> Any:
        settings = Settings(lock_renew_sec=60, **{"lock_wait_sec": 0, **given})
        return lock.held(action, "dev", bucket, settings, clock=lambda: clock.now, pause=clock.pause)  # type: ignore[arg-type]

    return hold


def leave(bucket: Bucket, clock: Clock, *, age: float, **more: Any) -> None:
    """Leave a lock behind that was renewed `age` seconds ago."""
    now = clock.now - age
    common = {"who": "anna", "build": "b-17", "action": "deploy", "began": now, "renewed": now, "token": "t"}
    elsewhere = {"host": "elsewhere", "machine": "02000000beef", "pid": 1}
    holder = Holder(**{**common, **elsewhere, **more})
    bucket.write(NAME, holder.text, NONE)


def test_it_says_who_holds_it_and_is_gone_afterwards(held: Callable[..., Any], bucket: Bucket) -> None:
    with held("rollback", build_id="b-18"):
        assert (bucket.held["action"], bucket.held["build"], bucket.held["pid"]) == ("rollback", "b-18", os.getpid())
    assert bucket.objects == {}


@pytest.mark.parametrize("failure", [StepFailed("no"), SystemExit(143), KeyboardInterrupt()])
def test_it_is_given_back_whatever_happens(failure: BaseException, held: Callable[..., Any], bucket: Bucket) -> None:
    with pytest.raises(type(failure)), held():
        raise failure
    assert bucket.objects == {}


class TestALivingHolder:
    def test_is_waited_for(
        self, held: Callable[..., Any], bucket: Bucket, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        leave(bucket, clock, age=10)
        pause = clock.pause

        def end_after_a_minute(seconds: float) -> None:
            pause(seconds)
            if clock.now >= 1_000_060:
                bucket.objects.clear()

        clock.pause = end_after_a_minute  # type: ignore[method-assign]
        with held(lock_wait_sec=600) as taken:
            assert taken.predecessor is None
        assert capsys.readouterr().out.count("lock: waiting for anna@elsewhere (process 1, build b-17), deploy") == 3

    def test_is_named_where_there_is_no_time_to_wait(
        self, held: Callable[..., Any], bucket: Bucket, clock: Clock
    ) -> None:
        leave(bucket, clock, age=299)
        with pytest.raises(Locked, match=r"anna@elsewhere \(process 1, build b-17\), deploy since 1970-01-12"), held():
            pass
        assert bucket.held["who"] == "anna"

    @pytest.mark.parametrize(
        "other",
        [{"host": "her-laptop"}, {"machine": "02000000beef"}, {"machine": ""}, {"pid": os.getpid()}],
        ids=["another machine", "another machine of this name", "an older commit's", "a process that works"],
    )
    def test_is_one_of_whose_process_nobody_here_knows(
        self, other: dict[str, Any], held: Callable[..., Any], bucket: Bucket, clock: Clock
    ) -> None:
        """Two laptops, or two virtual machines of one image, may have one name: neither sees the other's processes."""
        leave(bucket, clock, age=10, **{**HERE, **other})
        with pytest.raises(Locked), held():
            pass


class TestADeadHolder:
    @pytest.mark.parametrize(("age", "more"), [(301, {}), (1, HERE)], ids=["by silence", "by its process"])
    def test_is_replaced_at_once(
        self, age: float, more: dict[str, Any], held: Callable[..., Any], bucket: Bucket, clock: Clock
    ) -> None:
        leave(bucket, clock, age=age, **more)
        with held() as taken:
            assert taken.predecessor.who == "anna"
            assert bucket.held["pid"] == os.getpid()

    def test_is_replaced_by_one_successor_only(
        self, held: Callable[..., Any], bucket: Bucket, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both see it dead; the generation tells who was first."""
        leave(bucket, clock, age=301)
        write = bucket.write

        def another_is_faster(name: str, text: str, generation: str | None) -> str:
            if generation == "1":
                monkeypatch.setattr(bucket, "write", write)
                bucket.objects.clear()
                leave(bucket, clock, age=0)
            return write(name, text, generation)

        monkeypatch.setattr(bucket, "write", another_is_faster)
        with pytest.raises(Locked), held():
            pass

    def test_leaves_what_ran_before_it(self, held: Callable[..., Any], bucket: Bucket, clock: Clock) -> None:
        """So that going back is known also where several died one after the other."""
        leave(bucket, clock, age=301, before="the-image")
        with held() as taken:
            assert bucket.held["before"] == "the-image"
            taken.remember("the-image-that-it-left")
            assert taken.before == "the-image"

    @pytest.mark.parametrize("text", ["", "{", "null", "[1]", '"a"', "{}", '{"who": "a", "pid": "x"}'])
    def test_may_have_left_something_that_nobody_can_read(
        self, text: str, held: Callable[..., Any], bucket: Bucket
    ) -> None:
        bucket.write(NAME, text, NONE)
        with held() as taken:
            assert taken.predecessor is not None


class TestRenewing:
    def test_says_that_it_still_works(self, bucket: Bucket) -> None:
        with lock.held("deploy", "dev", bucket, Settings(lock_renew_sec=0.01, lock_wait_sec=0)):  # type: ignore[arg-type]
            first = bucket.held["renewed"]
            while bucket.held["renewed"] == first:
                pass

    def test_writes_down_what_runs_before_it_is_changed(self, held: Callable[..., Any], bucket: Bucket) -> None:
        with held() as taken:
            taken.remember("the-image")
            assert bucket.held["before"] == "the-image"

    def test_that_fails_is_tried_again(
        self, held: Callable[..., Any], bucket: Bucket, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with held() as taken:
            clock.now += 130
            bucket.fail = 1
            taken.confirm()
            assert "lock: not renewed this time: no network" in capsys.readouterr().out
            taken.confirm()
            assert bucket.held["renewed"] == clock.now

    def test_that_was_done_twice_is_its_own(
        self, held: Callable[..., Any], bucket: Bucket, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """gcloud writes again where the answer got lost, and is refused because of its own first."""
        write = bucket.write

        def twice(name: str, text: str, generation: str | None) -> str:
            write(name, text, generation)
            return write(name, text, generation)

        monkeypatch.setattr(bucket, "write", twice)
        with held() as taken:
            clock.now += 130
            taken.confirm()
        assert bucket.objects == {}


class TestOneThatWasReplaced:
    @pytest.fixture
    def replaced(self, held: Callable[..., Any], bucket: Bucket, clock: Clock) -> Callable[[], Any]:
        """Holds the lock, and is taken for dead."""

        def hold() -> Any:
            return _Replaced(held(), bucket, clock)

        return hold

    def test_changes_nothing_more(self, replaced: Callable[[], Any]) -> None:
        with replaced() as taken, pytest.raises(LockLost, match=r"replaced \(anna@elsewhere"):
            taken.confirm()

    def test_finds_out_after_its_successor_is_done(self, replaced: Callable[[], Any], bucket: Bucket) -> None:
        with replaced() as taken:
            bucket.objects.clear()
            with pytest.raises(LockLost, match="by somebody who is done already"):
                taken.confirm()

    def test_leaves_its_successors_lock_alone(self, replaced: Callable[[], Any], bucket: Bucket) -> None:
        with replaced():
            pass
        assert bucket.held["who"] == "anna"

    def test_ends_what_runs(self, bucket: Bucket, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """By a signal that Pulumi answers: the call that it is in ends, and nothing is left pending."""
        ended: list[bool] = []
        monkeypatch.setattr("pipeline.commands.terminate_running", lambda: ended.append(True))
        with lock.held("deploy", "dev", bucket, Settings(lock_renew_sec=0.01, lock_wait_sec=0)) as taken:  # type: ignore[arg-type]
            bucket.objects.clear()
            leave(bucket, clock, age=0)
            taken._thread.join(5)
        assert ended == [True]


class _Replaced:
    def __init__(self, holding: Any, bucket: Bucket, clock: Clock) -> None:
        self._holding, self._bucket, self._clock = holding, bucket, clock

    def __enter__(self) -> Lock:
        taken: Lock = self._holding.__enter__()
        self._bucket.objects.clear()
        self._clock.now += 400
        leave(self._bucket, self._clock, age=0)
        return taken

    def __exit__(self, *given: object) -> None:
        self._holding.__exit__(None, None, None)
