"""What was changed by hand: is what the pipeline manages still as it was deployed? Changes nothing.

A rule that lets a build in while it tests is no drift, which is why this waits for the stack's lock too.
"""

from __future__ import annotations

from pulumi.automation.events import OpType

from pipeline.deployment import Deployment
from pipeline.engine_events import Change
from pipeline.errors import StepFailed, log


def check(deployment: Deployment) -> None:
    """Compare Google with the state.

    Raises:
        StepFailed: something differs, with a line for each; or nobody can say.
    """
    stack, lock = deployment.stack, deployment.lock
    if lock.predecessor:
        lock.leave_as_it_was()
        raise StepFailed(
            f"the stack {stack.name} is as a rollout has left it that was ended from outside ({lock.predecessor}): run "
            "`make deploy` or `make rollback`, which mend it."
        )
    targets = stack.state().targets
    differences = stack.differences(targets) if targets else ()
    if differences:
        lines = "".join(f"\n  {_line(change)}" for change in differences)
        raise StepFailed(
            f"{len(differences)} of the resources of stack {stack.name} are not as they were deployed; `make up "
            f"STACK={stack.name}`, or the next deployment, puts them back:{lines}"
        )
    log(f"drift: what the pipeline manages of stack {stack.name} is as it was deployed")


def _line(change: Change) -> str:
    if change.operation == OpType.DELETE:
        return f"{change} is gone"
    return f"{change} differs in {', '.join(change.keys) or 'something that Pulumi does not name'}"
