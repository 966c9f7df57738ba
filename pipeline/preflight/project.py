"""Whether the project is paid for, and whether whoever runs `make up` may make everything."""

from __future__ import annotations

from collections.abc import Iterator

from infra.settings import Settings
from pipeline.preflight.findings import Finding, NotLookedAt, Questions, good, stop, warning

_OWNER, _EDITOR = "roles/owner", "roles/editor"


def billing(questions: Questions) -> Iterator[Finding]:
    """Look whether the project has a billing account that is open."""
    project = questions.settings.project
    answer = questions.json("billing", "projects", "describe", project)
    if answer.get("billingEnabled"):
        yield good(f"billing is on ({answer.get('billingAccountName', '')})")
    else:
        yield stop(
            f"billing is off in the project {project}: link an open account with `gcloud billing projects link "
            f"{project} --billing-account=XXXXXX-XXXXXX-XXXXXX`."
        )


def needed_roles(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return what the program makes to the roles of which one is enough, the narrowest first; an owner needs none.

    Editors may make most things, and give nobody a right (https://cloud.google.com/iam/docs/roles-overview).
    """
    roles: dict[str, tuple[str, ...]] = {
        "APIs": ("roles/serviceusage.serviceUsageAdmin", _EDITOR),
        "network, machines and balancer": ("roles/compute.admin", _EDITOR),
        "private DNS": ("roles/dns.admin", _EDITOR),
        "the registry and who reads it": ("roles/artifactregistry.admin",),
        "service accounts and who uses them": ("roles/iam.serviceAccountAdmin",),
        "machines that run as one": ("roles/iam.serviceAccountUser", _EDITOR),
        "roles in the project": ("roles/resourcemanager.projectIamAdmin",),
        "dashboard and alerts": ("roles/monitoring.editor", "roles/monitoring.admin", _EDITOR),
        "the metric of the health log": ("roles/logging.configWriter", "roles/logging.admin", _EDITOR),
    }
    if settings.dns_certificates:
        roles["certificates"] = ("roles/certificatemanager.editor", "roles/certificatemanager.owner", _EDITOR)
    if settings.pipeline:
        roles["the accounts' rights on the state"] = ("roles/storage.admin",)
        roles["the accounts' rights on the key"] = ("roles/cloudkms.admin",)
    if settings.pipeline and settings.repository:
        roles["triggers"] = ("roles/cloudbuild.builds.editor", _EDITOR)
        roles["the connection to GitHub"] = ("roles/cloudbuild.connectionAdmin",)
    if settings.pipeline and (settings.comment_secret or settings.github_installation):
        roles["who reads the tokens for GitHub"] = ("roles/secretmanager.admin",)
    if settings.pipeline and settings.repository and settings.maintenance:
        roles["builds by the calendar"] = ("roles/cloudscheduler.admin", _EDITOR)
        roles["the messages that start them"] = ("roles/pubsub.editor", "roles/pubsub.admin", _EDITOR)
    return roles


def roles(questions: Questions) -> Iterator[Finding]:
    """Look at the roles that the project gives to whoever is signed in; those of groups and folders are not seen."""
    project = questions.settings.project
    account = questions.text("config", "get", "account")
    if "@" not in account:
        raise NotLookedAt("gcloud is not signed in: run `gcloud auth login`")
    member_type = "serviceAccount" if account.endswith(".gserviceaccount.com") else "user"
    policy = questions.json("projects", "get-iam-policy", project)
    held = {
        binding["role"]
        for binding in policy.get("bindings", [])
        # A condition may or may not hold when the program runs.
        if not binding.get("condition")
        and f"{member_type}:{account}".lower() in map(str.lower, binding.get("members", []))
    }
    if not held:
        raise NotLookedAt(
            f"{account} has no role of its own in {project}, and those of groups, folders and the organisation are not "
            "seen here"
        )
    missing = {what: enough for what, enough in needed_roles(questions.settings).items() if not held & set(enough)}
    if _OWNER in held or not missing:
        yield good(f"{account} may make everything ({_OWNER if _OWNER in held else f'{len(held)} roles'})")
        return
    listed = ", ".join(f"{enough[0]} ({what})" for what, enough in missing.items())
    yield warning(
        f"{account} lacks {listed}, unless by a group, a folder or the organisation: ask an owner of {project} for "
        "them. Pulumi signs in by `gcloud auth application-default login`, perhaps as somebody else."
    )
