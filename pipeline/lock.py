"""One rollout at a time: whoever changes a stack holds an object in the state's bucket while it does so.

Pulumi's own lock covers one `pulumi up`. A rollout is several commands that belong together (what runs now, change it,
test it, go back), and two of them side by side would each take the other's work for a failure of its own.

The holder says every minute that it still works. One that has not for five minutes, or whose process is gone from this
machine, is dead: its successor takes the object over by its generation, so that of two successors one wins, and mends
what it left. A holder that finds itself replaced ends what it runs and changes nothing more.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime

from infra import names
from pipeline import commands
from pipeline.bucket import NONE, Bucket, Changed, Content
from pipeline.errors import Locked, LockLost, StepFailed, log
from pipeline.settings import Settings

_ASK_AGAIN_SEC = 20.0


@dataclass(frozen=True)
class Holder:
    """Who changes a stack; times in seconds since 1970, by the holder's clock.

    A clock that is minutes wrong could not have signed in to Google either. `before` is the image that ran when the
    holder began, or when the first of several began that died one after the other.
    """

    who: str
    host: str
    pid: int
    build: str
    action: str
    began: float
    renewed: float
    token: str
    before: str = ""
    # Two people's machines may have one name, and neither knows the other's processes.
    machine: str = ""

    def __str__(self) -> str:
        """Return the holder for a sentence."""
        began = datetime.fromtimestamp(self.began, UTC).strftime("%Y-%m-%d %H:%M UTC")
        build = f", build {self.build}" if self.build else ""
        return f"{self.who}@{self.host} (process {self.pid}{build}), {self.action} since {began}"


class Lock:
    """The lock of one stack, held.

    Attributes:
        predecessor: who held it and died, which may have left things half done; None where nobody did.
    """

    def __init__(
        self, bucket: Bucket, name: str, holder: Holder, settings: Settings, clock: Callable[[], float]
    ) -> None:
        self.predecessor: Holder | None = None
        self._bucket, self._name, self._holder, self._settings, self._clock = bucket, name, holder, settings, clock
        self._generation = ""
        self._lost = ""
        # Renewed by a thread of its own, and asked for by the one that works.
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name="rollout lock", daemon=True)

    @property
    def before(self) -> str:
        """Return the image that ran when this began, or when a predecessor began that died."""
        return self._holder.before

    def take(self, pause: Callable[[float], None]) -> None:
        """Wait for the lock and take it.

        Raises:
            Locked: somebody else still works after `lock_wait_sec`.
            StepFailed: the bucket cannot be read or written.
        """
        end = self._clock() + self._settings.lock_wait_sec
        while not self._taken():
            found = self._bucket.read(self._name)
            holder = _holder(found) if found else None
            if holder and not self._dead(holder):
                if self._clock() >= end:
                    raise Locked(
                        f"somebody else changes this stack: {holder}. Wait for its end; if it was ended from outside, "
                        f"it counts as dead {self._settings.lock_dead_sec / 60:.0f} minutes later."
                    )
                log(f"lock: waiting for {holder}")
                pause(min(_ASK_AGAIN_SEC, self._settings.lock_renew_sec))
            elif found and self._taken(found.generation, before=holder.before if holder else ""):
                self.predecessor = holder or self._holder
                log(f"lock: taken over from {holder or 'nobody who can be read'}, which is dead")
                break
        self._thread.start()

    def confirm(self) -> None:
        """Make sure that the lock is still held; asked before everything that changes something.

        Raises:
            LockLost: somebody else holds it.
        """
        with self._guard:
            # A laptop that was closed for an hour wakes up here, before its thread does.
            if not self._lost and self._clock() - self._holder.renewed > 2 * self._settings.lock_renew_sec:
                self._renew()
            if self._lost:
                raise LockLost(
                    f"this rollout was taken for dead and replaced ({self._lost}): it changes nothing more, and its "
                    "successor mends what it left. See the successor's log for what runs now."
                )

    def remember(self, before: str) -> None:
        """Write down which image runs now, before it is changed: should this process die, its successor knows it.

        Raises:
            LockLost: somebody else holds the lock.
        """
        with self._guard:
            if not self._holder.before:
                self._holder = replace(self._holder, before=before)
                self._renew()
        self.confirm()

    def release(self) -> None:
        """Give it back; it is no failure of the rollout where that fails, since it counts as dead soon."""
        self._stop.set()
        if self._thread.ident:
            self._thread.join()
        if not self._lost:
            try:
                self._bucket.remove(self._name, self._generation)
            except StepFailed as reason:
                log(f"lock: not given back, and dead in some minutes: {reason}")

    def _taken(self, generation: str = NONE, before: str = "") -> bool:
        """Write the lock in place of one generation; returns whether nobody was faster."""
        self._holder = replace(self._holder, renewed=self._clock(), before=before)
        try:
            self._generation = self._bucket.write(self._name, json.dumps(asdict(self._holder)), generation)
        except Changed:
            # Also where it was written and the answer got lost, so that gcloud wrote again.
            return self._adopted()
        return True

    def _adopted(self) -> bool:
        found = self._bucket.read(self._name)
        holder = _holder(found) if found else None
        if found and holder and holder.token == self._holder.token:
            self._generation = found.generation
            return True
        return False

    def _dead(self, holder: Holder) -> bool:
        if self._clock() - holder.renewed > self._settings.lock_dead_sec:
            return True
        here = holder.host == socket.gethostname() and holder.machine == _machine()
        return here and not _alive(holder.pid)

    def _keep_renewing(self) -> None:
        while not self._stop.wait(self._settings.lock_renew_sec):
            with self._guard:
                if not self._lost:
                    self._renew()
            if self._lost:
                # Pulumi ends the call that it is in, and nothing is left pending.
                commands.terminate_running()
                return

    def _renew(self) -> None:
        before = self._holder
        try:
            if not self._taken(self._generation, before.before):
                found = self._bucket.read(self._name)
                self._lost = str((_holder(found) if found else None) or "by somebody who is done already")
        except StepFailed as reason:
            # The next time will tell: where it stays so, the successor's write is what decides.
            self._holder = before
            log(f"lock: not renewed this time: {reason}")


@contextmanager
def held(
    action: str,
    stack: str,
    bucket: Bucket,
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Lock]:
    """Hold a stack's lock while the block lasts.

    Args:
        action: what is being done, for those who wait.
        stack: the stack's name.
        bucket: where its state is.
        settings: how long to wait, and how often to renew.
        clock: seconds since 1970.
        pause: sleeps for some seconds.

    Raises:
        Locked: somebody else still works after `lock_wait_sec`.
        StepFailed: the bucket cannot be read or written.
    """
    now = clock()
    holder = Holder(
        who=_user(),
        host=socket.gethostname(),
        pid=os.getpid(),
        build=settings.build_id,
        action=action,
        began=now,
        renewed=now,
        token=uuid.uuid4().hex,
        machine=_machine(),
    )
    lock = Lock(bucket, names.rollout_lock(stack), holder, settings, clock)
    lock.take(pause)
    try:
        yield lock
    finally:
        lock.release()


def _holder(content: Content) -> Holder | None:
    """Return who wrote the object; None where nobody can tell, so that it is no living holder's."""
    try:
        values = json.loads(content.text)
        holder = Holder(**{item.name: values[item.name] for item in fields(Holder) if item.name in values})
        # What is asked of it; a text would end the next comparison.
        return replace(holder, began=float(holder.began), renewed=float(holder.renewed), pid=int(holder.pid))
    except (ValueError, TypeError, KeyError):
        return None


def _machine() -> str:
    """Return what tells this machine from others of its name: its network card's address."""
    return f"{uuid.getnode():012x}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a list of users
        return "somebody"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
