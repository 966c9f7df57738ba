"""What must be there before Pulumi can remember anything: a bucket for its state, a key for its secrets, a stack.

    PROJECT=my-project REGION=europe-west1 python -m pipeline.bootstrap [--dry-run] [--pipeline]

STACK (dev) and ALLOWLIST (address ranges, separated by commas; none) are optional, and PROJECT and REGION too once
Pulumi.STACK.yaml has them. DRY_RUN=1 is --dry-run: it shows every command, asks and changes nothing. PIPELINE=1 is
--pipeline: it also connects Cloud Build to GitHub (connection.py). Run it again at any time: what exists is left alone.
Everything else is made by the stack itself.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from infra import api_names, names
from pipeline import connection, gcloud, pin
from pipeline.bootstrap_request import Request, read
from pipeline.errors import StepFailed, log, main
from pipeline.provision import Provisioner


def make(request: Request, provisioner: Provisioner) -> None:
    """Make what is missing.

    Raises:
        StepFailed: something cannot be made, or the bucket is somebody else's.
    """
    log("Google's APIs:")
    _enable(provisioner, api_names.BOOTSTRAP)
    _state_bucket(request, provisioner)
    _key(request, provisioner)
    _stack(request, provisioner)
    if request.pipeline:
        _enable(provisioner, api_names.BUILDS)
        name, region = (_setting(request, key) for key in ("connection", "buildRegion"))
        connection.make(name or "github", region or request.region, provisioner)
    _log_next_steps(request)


def _enable(provisioner: Provisioner, apis: Sequence[str]) -> None:
    services = [f"{name}.googleapis.com" for name in apis]
    provisioner.run(["gcloud", "services", "enable", *services, f"--project={provisioner.project}"])


def _state_bucket(request: Request, provisioner: Provisioner) -> None:
    """Make the bucket: nobody outside the project, and the pipeline's accounts by roles on the bucket alone."""
    bucket, project = request.backend, f"--project={request.project}"
    provisioner.ensure(
        f"the bucket for the state, {bucket}",
        ["gcloud", "storage", "buckets", "describe", bucket, project],
        [
            *("gcloud", "storage", "buckets", "create", bucket, project, f"--location={request.region}"),
            *("--uniform-bucket-level-access", "--public-access-prevention"),
        ],
    )
    # A bucket's name is the whole world's: somebody else may have made this one, and let us in.
    if not request.dry:
        number = "--format=value(projectNumber)"
        owner = provisioner.output_of(["gcloud", "storage", "buckets", "describe", bucket, "--raw", number])
        ours = provisioner.output_of(["gcloud", "projects", "describe", request.project, number])
        if owner != ours:
            raise StepFailed(
                f"the bucket {bucket} belongs to another project ({owner}, not {ours}): nothing was written to it. Use "
                "another project."
            )
    # Set again each time: a state that was overwritten can be had back.
    provisioner.run(
        [
            *("gcloud", "storage", "buckets", "update", bucket, "--versioning"),
            *("--lifecycle-file=pipeline/state-lifecycle.json", project),
        ]
    )


def _key(request: Request, provisioner: Provisioner) -> None:
    """Make the key of the stack's secrets: one for each stack, so that whoever previews one opens no other's."""
    key = names.state_key(request.project, request.region, request.stack).split("/")
    ring, name = key[5], key[7]
    where = [f"--location={request.region}", f"--project={request.project}"]
    provisioner.ensure(
        "the key ring",
        ["gcloud", "kms", "keyrings", "describe", ring, *where],
        ["gcloud", "kms", "keyrings", "create", ring, *where],
    )
    where.insert(0, f"--keyring={ring}")
    provisioner.ensure(
        f"the key for the secrets of {request.stack}",
        ["gcloud", "kms", "keys", "describe", name, *where],
        [
            *("gcloud", "kms", "keys", "create", name, *where, "--purpose=encryption"),
            *("--rotation-period=90d", "--next-rotation-time=+p90d"),
        ],
    )


def _stack(request: Request, provisioner: Provisioner) -> None:
    stack, provider = request.stack, request.secrets_provider
    provisioner.ensure(
        f"the stack {stack}",
        ["pulumi", "stack", "select", stack, "--non-interactive"],
        ["pulumi", "stack", "init", stack, f"--secrets-provider={provider}", "--non-interactive"],
    )
    if request.key_so_far not in ("", provider):
        log(f"the stack {stack} gets a key of its own:")
        provisioner.run(
            ["pulumi", "stack", "change-secrets-provider", provider, f"--stack={stack}", "--non-interactive"]
        )
    setting = ["pulumi", "config", "set"]
    provisioner.run([*setting, "gcp:project", request.project, f"--stack={stack}"])
    provisioner.run([*setting, "gcp:region", request.region, f"--stack={stack}"])
    for number, text in enumerate(request.allowlist):
        provisioner.run([*setting, "--path", f"allowlist[{number}]", text, f"--stack={stack}"])


def pin_images(folder: Path) -> None:
    """Pin the images that builds use, where one is not: Cloud Build deploys nothing that was made by tags."""
    files = [folder / name for name in pin.FILES]
    try:
        if all(reference.digest for file in files for reference in pin.references(file)):
            return
        pin.pin(files)
    except StepFailed as reason:
        log(f"The images that builds use are not pinned: {reason} Cloud Build stops until `make pin` has done it.")
    else:
        log(f"Commit {', '.join(pin.FILES)}: they pin the images that builds use.")


def _log_next_steps(request: Request) -> None:
    setting, stack = f"  PULUMI_BACKEND_URL={request.backend} pulumi config set", request.stack
    log("\nNext:")
    if not request.allowlist and not _setting(request, "allowlist"):
        log(f"{setting} --path 'allowlist[0]' YOUR-ADDRESS/32 --stack {stack}")
    if request.pipeline:
        log(f"{setting} pipeline true --stack {stack}\n{setting} repository OWNER/NAME --stack {stack}")
    log(f"  make up STACK={stack}       # the foundations")
    log(f"  make deploy STACK={stack}   # build, test, push, deploy")
    log(f"Commit Pulumi.{stack}.yaml before Cloud Build takes over: it names the key.")


def _setting(request: Request, key: str) -> str:
    return str(request.settings.get(f"{names.PULUMI_PROJECT}:{key}") or "")


def _main() -> None:
    request = read(sys.argv[1:], os.environ)
    for program in ("gcloud", "pulumi"):
        if not request.dry and not shutil.which(program):
            raise StepFailed(f"{program} is not installed: docs/deployment.md says what a laptop needs.")
    make(
        request,
        Provisioner(
            request.project,
            request.dry,
            look=lambda command: gcloud.look(command, request.environment),
            change=lambda command: gcloud.change(command, request.environment),
        ),
    )
    if not request.dry:
        pin_images(Path())


if __name__ == "__main__":
    main(_main)
