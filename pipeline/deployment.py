"""One image onto one fleet, tested, and the old one again where that fails; with the stack's lock held throughout.

prepare   what a dead predecessor left is mended: Pulumi's lock, interrupted operations, a build's access; what was
          changed by hand is seen
roll      preview, update, wait for the machines
go back   compare first: is it still ours, did the machines fail or something else, is anything new healthy
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from infra.plans import GroupPlan, plans
from infra.settings import Settings as StackSettings
from pipeline import (
    address,
    fleet_tests,
    images,
    machines,
    pending_operations,
    previous_template,
    releases,
    temporary_access,
    transitions,
)
from pipeline.bucket import Bucket
from pipeline.carried import Carried
from pipeline.checkout import StackLocation
from pipeline.commands import run
from pipeline.errors import Locked, LockLost, StepFailed, log
from pipeline.lock import Lock
from pipeline.outcomes import Plan, UpdateFailed
from pipeline.settings import Settings
from pipeline.stack import Stack


@dataclass
class Deployment:
    """What is done to one stack while its lock is held.

    Attributes:
        stack: the stack.
        location: its project and region.
        configured: what its file says.
        settings: what this step was told.
        lock: the lock, held.
        pause: sleeps for some seconds.
        outputs: what the stack said when this began.
    """

    stack: Stack
    location: StackLocation
    configured: StackSettings
    settings: Settings
    lock: Lock
    pause: Callable[[float], None] = time.sleep
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> Carried:
        """Return what the stack said that it runs, when this began."""
        return Carried.of(self.outputs)

    def prepare(self) -> Carried:
        """Mend what an earlier rollout has left, and see what was changed by hand.

        Returns:
            What the stack runs, or ran before a rollout that died: what to go back to.

        Raises:
            StepFailed: the state cannot be read or mended.
        """
        self.free()
        self.outputs = self.stack.outputs()
        self.lock.confirm()
        # Before Pulumi looks: it would take the rule for its own, and fail later on removing it.
        temporary_access.withdraw(self.outputs, self.location.project, self.stack.name)
        self.mend()
        self.lock.remember(self.running.image)
        return replace(self.running, image=self.lock.before)

    def free(self) -> None:
        """Remove Pulumi's own lock where whoever left it is dead: ours says that nobody else is at work."""
        if self.lock.predecessor:
            self.stack.cancel()

    def mend(self) -> None:
        """Take what exists into the state, and forget what does not."""
        state = self.stack.state()
        pending_operations.mend(self.stack, state, self.location)
        self.stack.refresh(state.targets, forget_interrupted=bool(state.creating))

    def deploy(self, image: str) -> None:
        """Roll the fleet to `image` and test it; the image before again where something fails.

        Raises:
            StepFailed: it failed; the sentence says what runs now.
        """
        before = self.prepare()
        transitions.check(self.outputs, self.configured)
        target = replace(before, image=image)
        bucket = Bucket(self.location.backend)
        if self.settings.branch:
            releases.refuse_older(bucket, self.stack.name, self.settings.commit)
        log(f"rollout: {before.image or 'no image yet'} -> {image}")
        self._try(target, before, self._test)
        try:
            releases.record(bucket, self.stack.name, image, self.settings.commit)
        except StepFailed as reason:  # the image runs all the same
            log(f"releases: this one is not written down: {reason}")

    def renew(self) -> None:
        """Replace all machines by new ones with the same image and their system's newest release.

        Its answers are not tested: they are this image's, which has passed.

        Raises:
            StepFailed: it failed; the sentence says what runs now.
        """
        before = self.prepare()
        if not before.image:
            raise StepFailed(f"the stack {self.stack.name} runs no image, so that there are no machines to renew.")
        target = replace(before, refreshed=datetime.now(UTC).strftime("%Y-%m-%d"))
        log(f"renew: the machines of {before.image}, which are from {before.refreshed or 'its first rollout'}")
        self._try(target, before, lambda outputs: None)  # noqa: ARG005  # as the other tests

    def rollback(self, image: str = "") -> None:
        """Make the fleet run `image`, or what ran before.

        Raises:
            StepFailed: there is none, or it failed.
        """
        before = self.prepare()
        # Of a rollout that died nobody knows how far it came: what ran before it is meant, which may run still.
        interrupted = self.lock.predecessor.before if self.lock.predecessor else ""
        image = images.by_digest(image or interrupted or self.stack.previous())
        result = run(["gcloud", *images.description(image)], quiet=True)
        if result.code and "NOT_FOUND" not in result.errors:
            raise StepFailed(f"the registry does not say whether it still has {image}: {result.last_words}")
        if result.code:
            raise StepFailed(
                f"the registry no longer has {image}: choose another with IMAGE=.... gcloud says: {result.last_words}"
            )
        log(f"rollback: {self.running.image or 'no image'} -> {image}")
        # A rollback that is run again is not meant to come back.
        back_from = self.running.image if self.running.image != image else ""
        target = replace(before, image=image)
        outputs = self.update(target, self.stack.preview(target), back_from)
        log(f"rollback: {image} runs at {outputs['url']}")

    def update(self, target: Carried, plan: Plan, back_from: str = "") -> dict[str, Any]:
        """Update the stack and wait for its machines; returns its outputs.

        Args:
            target: what the stack shall run.
            plan: what that changes.
            back_from: an image that turned out bad.

        Raises:
            UpdateFailed: the update failed on something else than a group that took too long.
            FleetUnhealthy: the machines do not become what they should.
            StepFailed: something else.
        """
        try:
            outputs = self.stack.up(target, wait=plan.moves_traffic, back_from=back_from)
        except UpdateFailed as failed:
            if not all(failure.timed_out for failure in failed.failures):
                raise
            log("rollout: Pulumi no longer waits for the machines, this goes on")
            self.wait(self._groups())
            outputs = self.stack.up(target, wait=False, back_from=back_from)
        self.wait(machines.groups_of(outputs))
        return outputs

    def wait(self, groups: Sequence[GroupPlan]) -> None:
        """Wait for the machines of some groups."""
        machines.wait(groups, self.location.region, self.location.project, self.settings, pause=self.pause)

    def _try(self, target: Carried, before: Carried, test: Callable[[dict[str, Any]], None]) -> None:
        # Mistakes in the settings or in the program end it here, with nothing changed.
        plan = self.stack.preview(target)
        try:
            outputs = self.update(target, plan)
            test(outputs)
        except (Locked, LockLost, temporary_access.AccessLeftOpen):
            raise
        except StepFailed as reason:
            self._go_back(before, target, reason)
        log(f"rollout: {target} runs at {outputs['url']}")

    def _test(self, outputs: dict[str, Any]) -> None:
        own = address.public_ipv4(self.settings.build_address)
        with temporary_access.granted(
            outputs, self.location.project, self.stack.name, own, self.lock.confirm, self.pause
        ):
            fleet_tests.run(outputs, self.configured, self.settings)

    def _go_back(self, before: Carried, target: Carried, reason: StepFailed) -> NoReturn:
        """Make the fleet run what it ran before, unless that would not help."""
        # What failed may be no more than a command that the loss of the lock has ended.
        self.lock.confirm()
        now = Carried.of(self.stack.outputs())
        if now not in (before, target, self.running):
            raise StepFailed(f"{reason} Meanwhile somebody has deployed {now}, which is left as it is.") from reason
        if isinstance(reason, UpdateFailed) and not all(failure.of_group for failure in reason.failures):
            raise StepFailed(
                f"{reason} No machine is the cause, and the way back would fail on the same: mend it and deploy again, "
                f"or run `make rollback STACK={self.stack.name}`."
            ) from reason
        if not before.image:
            raise StepFailed(
                f"{reason} This was the first image, so that there is none to go back to: the machines stay as they "
                "are."
            ) from reason
        if before == target:
            raise StepFailed(f"{reason} The same image ran before, so that there is none to go back to.") from reason
        log(f"rollout: failed, going back to {before}\n         {reason}")
        try:
            self.mend()
            previous_template.point_back(self._groups(), self.location.region, self.location.project, self.lock.confirm)
            unwanted = target.image if target.image != before.image else ""
            self.update(before, self.stack.preview(before), unwanted)
        except LockLost:
            raise
        except StepFailed as second:
            raise StepFailed(
                f"{reason} Going back failed too ({second}): run `make rollback STACK={self.stack.name} "
                f"IMAGE={before.image}`."
            ) from reason
        raise StepFailed(f"{reason} The fleet runs {before} again.") from reason

    def _groups(self) -> tuple[GroupPlan, ...]:
        """Return the groups that the state has: the outputs of an update that failed are those of the one before."""
        there = self.stack.state().groups
        planned = [(plan, f"{self.configured.name}-{plan.name}") for plan in plans(self.configured)]
        return tuple(replace(plan, name=there[name]) for plan, name in planned if name in there)
