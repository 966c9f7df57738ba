"""The way in without a balancer: the firewall as the allowlist."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings


class DirectAccess(pulumi.ComponentResource):
    """Who may reach the one machine. A firewall admits nobody who is not named."""

    def __init__(
        self,
        settings: Settings,
        *,
        network: pulumi.Input[str],
        account_email: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__("classifier:infra:DirectAccess", settings.name)
        gcp.compute.Firewall(
            f"{settings.name}-allowlist",
            network=network,
            direction="INGRESS",
            source_ranges=list(settings.allowlist),
            target_service_accounts=[account_email],
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=[str(settings.port)])],
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.register_outputs({})
