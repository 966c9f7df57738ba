"""Going back at once: a group whose new machines do not come up is pointed to its old template again.

Its old machines, which still serve, are then what they should be, and Google stops replacing them. Without it, going
back by an update alone would make a third template and replace even those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from infra.plans import GroupPlan
from pipeline.commands import run
from pipeline.errors import log
from pipeline.machines import status_of


def point_back(groups: Iterable[GroupPlan], region: str, project: str, confirm: Callable[[], None]) -> None:
    """Point the groups to the template of most of their old machines, if no new machine of any is healthy.

    Where Pulumi has removed that template, as it does once an update is through, the update that follows has to do.

    Raises:
        StepFailed: Google cannot be asked, or this process may change nothing more.
    """
    statuses = [status_of(group, region, project) for group in groups]
    if any(status.healthy for status in statuses):
        return
    for status in statuses:
        for template, count in Counter(machine.template for machine in status.old).most_common(1):
            command = ["gcloud", "compute", "instance-groups", "managed", "rolling-action", "start-update"]
            where = [status.group.name, f"--region={region}", f"--project={project}"]
            confirm()
            result = run([*command, *where, f"--version=template={template}", "--quiet"], quiet=True)
            if result.code:
                log(f"rollout: {status.group.name} cannot be pointed back to {template}: {result.last_words}")
            else:
                log(f"rollout: {status.group.name} points to {template} again, which {count} of its machines run")
