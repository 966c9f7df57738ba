"""Which of Google's APIs a stack's settings need, by name; apis.py and `make up` enable them."""

from __future__ import annotations

from infra.settings import Settings

# What `make bootstrap` needs before there is a stack. Compute is among them because the provider asks for its regions
# before it does anything.
BOOTSTRAP = ("cloudkms", "cloudresourcemanager", "compute", "iam", "serviceusage", "storage")
# What a connection to GitHub keeps its token in, and who builds.
BUILDS = ("cloudbuild", "secretmanager")
_ALWAYS = ("artifactregistry", "cloudresourcemanager", "compute", "dns", "iam", "logging", "monitoring")


def needed(settings: Settings) -> tuple[str, ...]:
    """Return the names, without .googleapis.com, of the APIs that the program's resources are made by."""
    names = [*_ALWAYS]
    names += ["iap"] if settings.iap_members else []
    names += ["billingbudgets"] if settings.monthly_budget else []
    names += ["certificatemanager"] if settings.dns_certificates else []
    # containeranalysis holds the provenance of what Cloud Build has built.
    names += ["cloudbuild", "containeranalysis"] if settings.pipeline else []
    names += ["secretmanager"] if settings.pipeline and (settings.repository or settings.comment_secret) else []
    names += ["cloudscheduler", "pubsub"] if settings.pipeline and settings.repository and settings.maintenance else []
    return tuple(names)
