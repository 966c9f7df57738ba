"""Google's APIs that the stack uses, enabled before anything else and never disabled.

Disabling one on destroy would take it from everything else in the project.
"""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings

_ALWAYS = ("artifactregistry", "cloudresourcemanager", "compute", "dns", "iam", "logging", "monitoring")


class Apis(pulumi.ComponentResource):
    """The enabled APIs; every root resource of the other components depends on `enabled`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("classifier:infra:Apis", settings.name)
        names = [*_ALWAYS]
        names += ["iap"] if settings.iap_members else []
        names += ["billingbudgets"] if settings.monthly_budget_usd else []
        # containeranalysis holds the provenance of what Cloud Build has built.
        names += ["cloudbuild", "containeranalysis"] if settings.pipeline else []
        names += ["secretmanager"] if settings.comment_secret or settings.github_token_secret else []
        self.enabled = [
            gcp.projects.Service(
                f"{settings.name}-{name}",
                service=f"{name}.googleapis.com",
                disable_on_destroy=False,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for name in names
        ]
        self.register_outputs({})
