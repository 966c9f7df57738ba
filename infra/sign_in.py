"""Who may sign in through Identity-Aware Proxy.

A grant of the project with a condition on the host's name, and not of the backend service: it is a foundation that
stands before there is a backend service, and the pipeline, which makes that, may not change who may do what.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.names import short
from infra.settings import Settings


class SignIn(pulumi.ComponentResource):
    """One grant for each member and domain: a condition has twelve operators at most, and there may be 15 domains."""

    def __init__(self, settings: Settings, *, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:SignIn", settings.name)
        for member in settings.iap_members:
            for domain in settings.domains:
                gcp.projects.IAMMember(
                    f"{settings.name}-{member.replace(':', '-')}-{short(domain)}",
                    project=settings.project,
                    role="roles/iap.httpsResourceAccessor",
                    member=member,
                    condition=gcp.projects.IAMMemberConditionArgs(
                        title=f"{settings.name}: {short(domain)}",
                        expression=f'request.host == "{domain}"',
                    ),
                    opts=pulumi.ResourceOptions(parent=self, depends_on=after),
                )
        self.register_outputs({})
