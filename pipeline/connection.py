"""Cloud Build's connection to GitHub, which two links in a browser complete (`make bootstrap PIPELINE=1`).

The order is Google's (https://cloud.google.com/build/docs/automating-builds/github/connect-repo-github): the APIs, the
right of Cloud Build's own account to keep the connection's token, the connection, the two links.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.errors import StepFailed, log
from pipeline.provision import Provisioner

# Where projects may build that are new or were little used so far
# (https://cloud.google.com/build/docs/locations, "Restricted regions for some projects").
NEW_PROJECTS_REGIONS = (
    "us-central1",
    "us-west2",
    "europe-west1",
    "asia-east1",
    "australia-southeast1",
    "southamerica-east1",
)
_LIMIT_SEC = 900.0
_PAUSE_SEC = 5.0
# Said again after so many pauses.
_PROGRESS_PAUSES = 6
# What to do at each stage of the installation (InstallationState of Cloud Build's API).
_STEPS = {
    "PENDING_USER_OAUTH": "the first of two links: sign in to GitHub as an owner of the repository, and authorise",
    "PENDING_INSTALL_APP": "the second link: install the app Google Cloud Build for the repository's owner",
}


def make(name: str, region: str, provisioner: Provisioner) -> None:
    """Make the connection and wait until it is complete.

    Args:
        name: the connection's.
        region: where Cloud Build works.
        provisioner: runs the commands; Cloud Build's APIs are on.

    Raises:
        StepFailed: it cannot be made, or nobody followed the links in time.
    """
    project = f"--project={provisioner.project}"
    if region not in NEW_PROJECTS_REGIONS:
        log(
            f"Cloud Build in {region}: projects that are new or were little used so far may build in "
            f"{', '.join(NEW_PROJECTS_REGIONS)} only. Where builds are refused (FAILED_PRECONDITION), set buildRegion "
            "to one of these and run this again."
        )
    log("Cloud Build's own account, which keeps the connection's token:")
    # Enabling the API makes it too, sooner or later: a gcloud without its beta commands may have luck.
    provisioner.run(
        ["gcloud", "beta", "services", "identity", "create", "--service=cloudbuild.googleapis.com", project],
        needed=False,
    )
    provisioner.run(
        [
            *("gcloud", "projects", "add-iam-policy-binding", provisioner.project, f"--member={_agent(provisioner)}"),
            *("--role=roles/secretmanager.admin", "--condition=None", "--format=none"),
        ],
        also="does not exist",  # the account, to all of Google's servers but one
    )
    where = [name, f"--region={region}", project]
    describe = ["gcloud", "builds", "connections", "describe", *where, "--format=json"]
    provisioner.ensure(
        f"the connection {name} in {region}", describe, ["gcloud", "builds", "connections", "create", "github", *where]
    )
    if not provisioner.dry:
        _wait(name, describe, provisioner)


def _agent(provisioner: Provisioner) -> str:
    number = "PROJECT_NUMBER"
    if not provisioner.dry:
        number = provisioner.output_of(
            ["gcloud", "projects", "describe", provisioner.project, "--format=value(projectNumber)"]
        )
    return f"serviceAccount:service-{number}@gcp-sa-cloudbuild.iam.gserviceaccount.com"


def _wait(name: str, describe: list[str], provisioner: Provisioner) -> None:
    """Say each link once, until there is none left to follow."""
    began, shown, pauses = provisioner.clock(), "", 0
    while True:
        state = _installation(provisioner.output_of(describe))
        stage = str(state.get("stage", ""))
        if stage == "COMPLETE":
            log(f"the connection {name}: is complete")
            return
        waited = provisioner.clock() - began
        if waited >= _LIMIT_SEC:
            raise StepFailed(
                f"the connection {name} is {stage or 'without a state'} after {_LIMIT_SEC / 60:.0f} minutes: follow "
                "its link, then run `make bootstrap PIPELINE=1` again."
            )
        if stage != shown:
            log(f"  {_STEPS.get(stage) or state.get('message') or stage}:\n    {state.get('actionUri', '')}")
            shown = stage
        elif pauses % _PROGRESS_PAUSES == 0:
            log(f"  waiting for you to follow the link ({waited:.0f} of {_LIMIT_SEC:.0f} s)")
        pauses += 1
        provisioner.pause(_PAUSE_SEC)


def _installation(answer: str) -> dict[str, Any]:
    try:
        return dict(json.loads(answer).get("installationState") or {})
    except (ValueError, AttributeError, TypeError) as error:
        raise StepFailed(f"gcloud did not describe the connection in JSON: {error}") from error
