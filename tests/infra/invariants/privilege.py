"""What machines and people may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.infra import machine
from tests.infra.deployment import Deployment, Resource, values
from tests.infra.invariants.registry import prevents

# All that a machine needs: say what happens, and read its image.
PROJECT_ROLES = {"roles/logging.logWriter", "roles/monitoring.metricWriter"}
REPOSITORY_ROLES = {"roles/artifactregistry.reader"}
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"

FLAGS = Path(__file__).parents[3] / "container" / "run.flags"


def _grants(deployment: Deployment) -> Iterator[tuple[Resource, str, str]]:
    """Yield (grant, member, role) for every kind of grant: members, bindings."""
    for resource in deployment.custom:
        role = resource.inputs.get("role")
        if role is not None:
            for member in [resource.inputs.get("member"), *resource.inputs.get("members", [])]:
                if member is not None:
                    yield resource, member, role


@prevents
def captured_machine_takes_the_project(deployment: Deployment) -> Iterator[str]:
    """A machine's account has exactly its few roles, in the project and on the repository."""
    for template in deployment.of("compute.InstanceTemplate"):
        account = deployment.referenced(template, "serviceAccount.email")
        if account.kind != "serviceaccount.Account":
            yield f"{template} runs as {account}"
        roles: dict[str, set[str]] = {}
        for grant, member, role in _grants(deployment):
            if member == account.outputs["member"]:
                roles.setdefault(grant.kind, set()).add(role)
        wanted = {
            "projects.IAMMember": PROJECT_ROLES,
            "artifactregistry.RepositoryIamMember": REPOSITORY_ROLES,
        }
        if roles != wanted:
            yield f"{account} has the roles {roles}"
        if values(template.inputs, "serviceAccount.scopes[]") != [CLOUD_PLATFORM]:
            yield f"{template}: scopes are {values(template.inputs, 'serviceAccount.scopes[]')}, roles should decide"


@prevents
def everybody_is_granted_a_role(deployment: Deployment) -> Iterator[str]:
    for grant, member, role in _grants(deployment):
        if member in ("allUsers", "allAuthenticatedUsers"):
            yield f"{grant} grants {role} to {member}"
        if role in ("roles/owner", "roles/editor", "roles/viewer"):
            yield f"{grant} grants the basic role {role}"


@prevents
def grant_takes_roles_from_others(deployment: Deployment) -> Iterator[str]:
    """A policy or binding for a project replaces what others were granted there; a member only adds."""
    for resource in deployment.custom:
        if resource.kind.endswith(("IAMPolicy", "IAMBinding", "IamPolicy", "IamBinding")):
            yield f"{resource} replaces what others were granted"


@prevents
def boot_or_login_can_be_tampered_with(deployment: Deployment) -> Iterator[str]:
    shield = {"enableSecureBoot": True, "enableVtpm": True, "enableIntegrityMonitoring": True}
    for template in deployment.of("compute.InstanceTemplate"):
        if template.inputs.get("shieldedInstanceConfig") != shield:
            yield f"{template} is shielded by {template.inputs.get('shieldedInstanceConfig')}"
        metadata = template.inputs.get("metadata", {})
        for key in ("enable-oslogin", "block-project-ssh-keys"):
            if metadata.get(key, "").lower() != "true":
                yield f"{template}: {key} is {metadata.get(key)}"
        if template.inputs.get("canIpForward"):
            yield f"{template} may pass on packets of others"


@prevents
def container_runs_with_other_rights_than_tested(deployment: Deployment) -> Iterator[str]:
    """The image's own tests run it with container/run.flags; on the machines come only name, port, log, settings."""
    lines = FLAGS.read_text("utf-8").splitlines()
    tested = {line for line in lines if line and not line.startswith("#")}
    harmless = {"--name", "--rm", "--publish", "--env", "--log-driver", "--log-opt"}
    for template in deployment.of("compute.InstanceTemplate"):
        options = set(machine.of(template).options)
        if lacking := tested - options:
            yield f"{template} runs the container without {sorted(lacking)}"
        if other := {option for option in options - tested if option.split("=")[0] not in harmless}:
            yield f"{template} runs the container with {sorted(other)}"


@prevents
def stack_reads_another_s_state(deployment: Deployment) -> Iterator[str]:
    """The state's bucket holds every stack of a project: who builds for one reads and writes that one's objects."""
    stack = re.escape(deployment.stack)
    own = re.compile(
        rf"(\.pulumi/\w+(/organization)?/[\w-]+/{stack}[./]|rollout/{stack}/|\.pulumi/meta\.yaml$|source/$)"
    )
    for grant in deployment.of("storage.BucketIAMMember"):
        if grant.inputs["role"] == "roles/storage.legacyBucketReader":  # names only
            continue
        (condition,) = values(grant.inputs, "condition.expression") or [""]
        objects = re.findall(r'resource\.name\.startsWith\("projects/_/buckets/[\w-]+/objects/([^"]*)"\)', condition)
        if not objects or condition.count("||") != len(objects) - 1 or condition.count("||") > 12:
            yield f"{grant} grants {grant.inputs['role']} by the condition {condition!r}"
        for beginning in objects:
            if not own.match(beginning):
                yield f"{grant} reaches {beginning}"
    for grant in deployment.of("kms.CryptoKeyIAMMember"):
        if not grant.inputs["cryptoKeyId"].endswith(f"/state-{deployment.stack}"):
            yield f"{grant} opens the secrets of {grant.inputs['cryptoKeyId']}"


@prevents
def grant_is_refused_for_an_account_that_is_not_there(deployment: Deployment) -> Iterator[str]:
    """Google's own accounts are made with the first use of a service, or by asking for them."""
    agents = {identity.outputs["member"]: identity.urn for identity in deployment.of("projects.ServiceIdentity")}
    for grant, member, _ in _grants(deployment):
        if "@gcp-sa-" in member and agents.get(member) not in deployment.upstream(grant):
            yield f"{grant} is for {member}, which may not be there yet"


@prevents
def container_asks_for_the_machine_s_token(deployment: Deployment) -> Iterator[str]:
    """Google's metadata server gives it to whoever asks, and resolves names by which data can leave."""
    for template in deployment.of("compute.InstanceTemplate"):
        before = machine.of(template).unit.split("ExecStart=")[0]
        if "DOCKER-USER -d 169.254.169.254 -j DROP" not in before:
            yield f"{template} lets its container ask the metadata server"
