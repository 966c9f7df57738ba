"""Who the machines are, and all that they may do in the project; what they may read is in registry.py."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings

# Write logs, write metrics: nothing else.
PROJECT_ROLES = ("roles/logging.logWriter", "roles/monitoring.metricWriter")


class Identity(pulumi.ComponentResource):
    """The machines' service account and its roles."""

    def __init__(self, settings: Settings, *, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:Identity", settings.name)
        self.account = gcp.serviceaccount.Account(
            f"{settings.name}-machines",
            account_id=settings.name,
            display_name=f"Machines of {settings.name}",
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.roles = [
            gcp.projects.IAMMember(
                f"{settings.name}-machines-{role.rsplit('.', 1)[1]}",
                project=settings.project,
                role=role,
                member=self.account.member,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for role in PROJECT_ROLES
        ]
        self.register_outputs({})
