"""Google's APIs that a stack needs: enabled, and waited for, before the program makes anything with them.

An API that was enabled a moment ago refuses calls for seconds or minutes, and Google's provider does not try again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from infra import api_names
from infra.settings import Settings
from pipeline import gcloud
from pipeline.errors import StepFailed, log

_LIMIT_SEC = 300.0
_PAUSE_SEC = 10.0
# What no command asks: it holds the provenance of builds, which Cloud Build writes by itself.
UNASKED = ("containeranalysis",)


def ready(
    settings: Settings,
    *,
    first: bool = False,
    look: gcloud.Run = gcloud.look,
    change: gcloud.Run = gcloud.change,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Enable what the settings need and wait until it answers.

    Args:
        settings: the stack's.
        first: whether the stack has nothing yet. Then what is on already is asked too, since a run before this one may
            have been interrupted between enabling and waiting.
        look: runs a command that changes nothing.
        change: runs a command that changes something.
        pause: sleeps for some seconds.
        clock: seconds since whenever.

    Raises:
        StepFailed: one cannot be enabled, or does not answer in time.
    """
    needed = api_names.needed(settings)
    on = _enabled(settings.project, look)
    off = [name for name in needed if name not in on]
    if off:
        log(f"apis: enabling {', '.join(off)}, which may take a minute or two")
        enable(off, settings.project, change)
    questions = harmless_commands(settings)
    waiting = {name: questions[name] for name in (needed if first else off) if name in questions}
    _wait(waiting, settings.project, look, pause, clock)


def enable(names: Sequence[str], project: str, change: gcloud.Run = gcloud.change) -> None:
    """Enable APIs by their names without .googleapis.com; those that are on stay so.

    Raises:
        StepFailed: Google refuses.
    """
    services = [f"{name}.googleapis.com" for name in names]
    result = change(["gcloud", "services", "enable", *services, f"--project={project}"])
    if result.code:
        reason = gcloud.meaning(result, project) or f"the APIs cannot be enabled: {result.last_words}"
        raise StepFailed(f"{reason.rstrip('.')}; then run this again.")


def harmless_commands(settings: Settings) -> dict[str, list[str]]:
    """Return a command for each API that only reads; what it finds, and whether this account may, does not matter."""
    commands = {
        "artifactregistry": "artifacts locations list",
        "billingbudgets": f"billing budgets list --billing-account={settings.billing_account}",
        "certificatemanager": "certificate-manager certificates list",
        "cloudbuild": f"builds connections list --region={settings.builds_in}",
        "cloudscheduler": f"scheduler jobs list --location={settings.builds_in}",
        "compute": "compute networks list",
        "dns": "dns managed-zones list",
        "iam": "iam service-accounts list",
        "logging": "logging metrics list",
        "monitoring": "monitoring dashboards list",
        "pubsub": "pubsub topics list",
        "secretmanager": "secrets list",
    }
    # What has no list, and so no limit.
    single = {"cloudresourcemanager": f"projects describe {settings.project}", "iap": "iap web get-iam-policy"}
    # Billed to this project, so that it is this project's API that must be on.
    where = [f"--project={settings.project}", f"--billing-project={settings.project}", "--format=json"]
    lists = {name: ["gcloud", *words.split(), "--limit=1", *where] for name, words in commands.items()}
    return lists | {name: ["gcloud", *words.split(), *where] for name, words in single.items()}


def _enabled(project: str, look: gcloud.Run) -> set[str]:
    """Return the names of the APIs that are on; none where that cannot be said, since enabling twice does no harm."""
    result = look(["gcloud", "services", "list", "--enabled", f"--project={project}", "--format=value(config.name)"])
    if result.code:
        log(f"apis: which are on cannot be said, so that all are enabled ({result.last_words})")
        return set()
    return {name.removesuffix(".googleapis.com") for name in result.output.split()}


def _wait(
    waiting: Mapping[str, list[str]],
    project: str,
    look: gcloud.Run,
    pause: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    count, began = len(waiting), clock()
    while waiting:
        with ThreadPoolExecutor(len(waiting)) as threads:
            results = dict(zip(waiting, threads.map(look, waiting.values()), strict=True))
        waiting = {name: command for name, command in waiting.items() if gcloud.is_off(results[name])}
        if not waiting:
            log(f"apis: all {count} answer")
            return
        names, waited = ", ".join(waiting), clock() - began
        if waited >= _LIMIT_SEC:
            raise StepFailed(
                f"{names} in project {project} still refuse calls after {_LIMIT_SEC / 60:.0f} minutes: run this again "
                f"in some minutes. Google says: {results[next(iter(waiting))].last_words}"
            )
        log(f"apis: {count - len(waiting)} of {count} answer, waiting for {names} ({waited:.0f} s)")
        pause(_PAUSE_SEC)
