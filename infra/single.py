"""The way in without a balancer: a static address, and the firewall as the allowlist."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings


class DirectAccess(pulumi.ComponentResource):
    """The address of the one machine and who may reach it. A firewall admits nobody who is not named."""

    def __init__(
        self,
        settings: Settings,
        *,
        network: pulumi.Input[str],
        machines: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__("classifier:infra:DirectAccess", settings.name)
        self.address = gcp.compute.Address(
            settings.name,
            region=settings.region,
            address_type="EXTERNAL",
            # The premium tier: an address of the standard tier cannot be used from a machine of the premium one.
            network_tier="PREMIUM",
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        gcp.compute.Firewall(
            f"{settings.name}-allowlist",
            network=network,
            direction="INGRESS",
            source_ranges=list(settings.allowlist),
            target_service_accounts=[machines],
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=[str(settings.port)])],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
