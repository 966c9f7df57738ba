"""One rollout at a time: whoever changes a stack holds an object in the state's bucket while it does so.

Pulumi's own lock covers one `pulumi up`. A rollout is several commands that belong together (what runs now, change it,
test it, go back), and two of them side by side would each take the other's work for a failure of its own.

The holder says every minute that it still works. One that has not for five minutes, or whose process is gone from this
machine, is dead: its successor takes the object over by its generation, so that of two successors one wins, and mends
what it left. A holder that finds itself replaced ends what it runs and changes nothing more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra import names
from pipeline import commands
from pipeline.bucket import NONE, Bucket, Changed
from pipeline.errors import Locked, LockLost, StepFailed, log
from pipeline.lock_holder import Holder
from pipeline.settings import Settings

_ASK_AGAIN_SEC = 20.0


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
        self._left_to: Holder | None = None
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
            content = self._bucket.read(self._name)
            holder = Holder.read(content.text) if content else None
            if holder and not holder.is_dead(self._clock(), self._settings.lock_dead_sec):
                if self._clock() >= end:
                    raise Locked(
                        f"somebody else changes this stack: {holder}. Wait for its end; if it was ended from outside, "
                        f"it counts as dead {self._settings.lock_dead_sec / 60:.0f} minutes later."
                    )
                log(f"lock: waiting for {holder}")
                pause(min(_ASK_AGAIN_SEC, self._settings.lock_renew_sec))
            elif content and self._taken(content.generation, before=holder.before if holder else ""):
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

    def leave_as_it_was(self) -> None:
        """Give it back to the dead, by whom the next rollout shall know what ran before."""
        self._left_to = self.predecessor

    def release(self) -> None:
        """Give it back; it is no failure of the rollout where that fails, since it counts as dead soon."""
        self._stop.set()
        if self._thread.ident:
            self._thread.join()
        if not self._lost:
            try:
                if self._left_to:
                    self._bucket.write(self._name, replace(self._left_to, renewed=0.0).text, self._generation)
                else:
                    self._bucket.remove(self._name, self._generation)
            except StepFailed as reason:
                log(f"lock: not given back, and dead in some minutes: {reason}")

    def _taken(self, generation: str = NONE, before: str = "") -> bool:
        """Write the lock in place of one generation; returns whether nobody was faster."""
        self._holder = replace(self._holder, renewed=self._clock(), before=before)
        try:
            self._generation = self._bucket.write(self._name, self._holder.text, generation)
        except Changed:
            # Also where it was written and the answer got lost, so that gcloud wrote again.
            return self._adopted()
        return True

    def _adopted(self) -> bool:
        content = self._bucket.read(self._name)
        holder = Holder.read(content.text) if content else None
        if content and holder and holder.token == self._holder.token:
            self._generation = content.generation
            return True
        return False

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
                content = self._bucket.read(self._name)
                self._lost = str((Holder.read(content.text) if content else None) or "by somebody who is done already")
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
    holder = Holder.of_this_process(action, settings.build_id, clock())
    lock = Lock(bucket, names.rollout_lock(stack), holder, settings, clock)
    lock.take(pause)
    try:
        yield lock
    finally:
        lock.release()
