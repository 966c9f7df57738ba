"""The last step, and all that is done to a stack: `python -m pipeline.rollout ACTION`.

preview    what a pull request would change; says so on the request, changes nothing
deploy     the new image onto the fleet, tested through the balancer; the old image again where that fails
promote    the same with the image of another stack, FROM, as it is
renew      new machines for the same image, with their system's newest release
rollback   the image that ran before, or IMAGE=...@sha256:...
drift      fails where somebody has changed by hand what the pipeline manages
up         by hand: `pulumi up` with the image that runs, for a change of settings; at first, the foundations
destroy    by hand: everything away, once the stack's name was typed

All but a preview hold the stack's lock (lock.py) for the whole of it, and first mend what a dead one left.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from infra import names
from infra.settings import Settings as StackSettings
from pipeline import answers, by_hand, checkout, comment, drift, images, lock, settings
from pipeline.bucket import Bucket
from pipeline.carried import Carried
from pipeline.deployment import Deployment
from pipeline.errors import StepFailed, log, main
from pipeline.settings import Settings
from pipeline.stack import Stack


def preview(given: Settings) -> None:
    """Say what an image would change; the digest stands in the stack's own repository, from which machines may read."""
    image = _image(given)
    where = _location(given)
    checkout.stack_settings(given.stack)
    stack = Stack(given.stack, where.backend)
    outputs = stack.outputs()
    if not outputs.get("registry"):
        raise StepFailed(f"the stack {stack.name} has no foundations: run `make up STACK={stack.name}`, from a laptop.")
    image = images.moved(image, str(outputs["registry"]))
    text = stack.preview(replace(Carried.of(outputs), image=image)).text
    comment.announce(given, where.project, comment.body(stack.name, image, text))


def deploy(given: Settings) -> None:
    """Roll out the image that the step `push` left, or IMAGE."""
    image = _image(given)
    with _deployment("deploy", given, checkout.stack_settings(given.stack, image=image)) as deployment:
        deployment.deploy(image)


def promote(given: Settings) -> None:
    """Roll out the image of another stack."""
    # Needs Docker, which nothing else here does.
    from pipeline import promote as promotion

    source = given.image
    if not source:
        source = Carried.of(Stack(given.source_stack, checkout.location(given.source_stack).backend).outputs()).image
    if not source:
        raise StepFailed(f"the stack {given.source_stack} runs no image: deploy to it first, or give IMAGE=....")
    where = _location(given)
    image = promotion.promote(source, names.registry(where.project, where.region, given.stack))
    # Known by the image itself: the checkout may be another commit's. A person chose it, so no branch is asked.
    given = replace(given, commit=promotion.commit(source), branch="")
    with _deployment("promote", given, checkout.stack_settings(given.stack, image=image)) as deployment:
        deployment.deploy(image)


def renew(given: Settings) -> None:
    """Renew the machines."""
    with _deployment("renew", given, checkout.stack_settings(given.stack)) as deployment:
        deployment.renew()


def rollback(given: Settings) -> None:
    """Go back to an image."""
    if given.image:
        images.by_digest(given.image)
    with _deployment("rollback", given, checkout.stack_settings(given.stack)) as deployment:
        deployment.rollback(given.image)


def find_drift(given: Settings) -> None:
    """Look for what was changed by hand."""
    with _deployment("drift", given, checkout.stack_settings(given.stack)) as deployment:
        drift.check(deployment)


def up(given: Settings) -> None:
    """Make or change the stack, asking first."""
    with _deployment("up", given, checkout.stack_settings(given.stack)) as deployment:
        by_hand.up(deployment, given)


def destroy(given: Settings) -> None:
    """Take the stack away, asking first."""
    where = _location(given)
    by_hand.ask_to_destroy(Stack(given.stack, where.backend), given)
    # Whatever its file says: it must be possible to be rid of a stack whose settings are wrong.
    nothing = StackSettings(given.stack, where.project, where.region)
    with _deployment("destroy", given, nothing) as deployment:
        by_hand.destroy(deployment)


_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
ACTIONS: dict[str, Callable[[Settings], None]] = {
    "preview": preview,
    "deploy": deploy,
    "promote": promote,
    "renew": renew,
    "rollback": rollback,
    "drift": find_drift,
    "up": up,
    "destroy": destroy,
}


@contextmanager
def _deployment(action: str, given: Settings, configured: StackSettings) -> Iterator[Deployment]:
    """Hold the stack's lock."""
    where = _location(given)
    with lock.held(action, given.stack, Bucket(where.backend), given) as held:
        stack = Stack(given.stack, where.backend, held.confirm, given.lock_wait_sec)
        yield Deployment(stack, where, configured, given, held)


def _location(given: Settings) -> checkout.StackLocation:
    where = checkout.location(given.stack)
    if given.project and given.project != where.project:
        raise StepFailed(
            f"Pulumi.{given.stack}.yaml is for the project {where.project}, and this build is in {given.project}: see "
            "_STACK."
        )
    return where


def _image(given: Settings) -> str:
    digest = answers.ARTIFACTS / "digest"
    return images.by_digest(given.image or (digest.read_text().strip() if digest.exists() else ""))


def _end(number: int, _: FrameType | None) -> None:
    # So that Pulumi ends what it is at, access is withdrawn and the lock given back when a build is cancelled or a
    # person presses Ctrl-C. Once: what tidies up is not ended in the middle.
    for other in _SIGNALS:
        signal.signal(other, lambda *_: None)
    log(f"rollout: ended by signal {number}, tidying up, which may take some minutes: wait")
    raise SystemExit(128 + number)


def _step() -> None:
    given = settings.read()
    action = sys.argv[1] if len(sys.argv) > 1 else given.action
    if action not in ACTIONS:
        raise StepFailed(f"the action is {action!r}: expected one of {', '.join(ACTIONS)}.")
    ACTIONS[action](given)


if __name__ == "__main__":
    for number in _SIGNALS:
        signal.signal(number, _end)
    main(_step)
