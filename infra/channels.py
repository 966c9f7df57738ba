"""Whom alerts and the budget tell: one channel for each address."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings


class Channels(pulumi.ComponentResource):
    """The channels; `names` as alerts and budgets take them."""

    def __init__(self, settings: Settings, *, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:Channels", settings.name)
        self.names = [
            gcp.monitoring.NotificationChannel(
                f"{settings.name}-{email}",
                type="email",
                display_name=email,
                labels={"email_address": email},
                opts=pulumi.ResourceOptions(parent=self, depends_on=after),
            ).name
            for email in settings.alert_emails
        ]
        self.register_outputs({})
