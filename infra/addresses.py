"""The addresses under which people find the service; a foundation, so that DNS can name them before it is up.

Protected: other people's DNS records and allowlists name them, and Google gives a released one to somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings


class Addresses(pulumi.ComponentResource):
    """Global addresses of a balancer, or the regional one of a single machine; `ids` and `texts` by IP version."""

    def __init__(self, settings: Settings, *, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:Addresses", settings.name)
        options = pulumi.ResourceOptions(parent=self, depends_on=after, protect=True)
        addresses: dict[str, gcp.compute.Address | gcp.compute.GlobalAddress] = {}
        if settings.single:
            addresses["ipv4"] = gcp.compute.Address(
                f"{settings.name}-single",
                region=settings.region,
                address_type="EXTERNAL",
                # The premium tier: an address of the standard tier cannot be used from a machine of the premium one.
                network_tier="PREMIUM",
                opts=options,
            )
        else:
            for version in ("IPV4", "IPV6") if settings.ipv6 else ("IPV4",):
                addresses[version.lower()] = gcp.compute.GlobalAddress(
                    f"{settings.name}-{version.lower()}", ip_version=version, address_type="EXTERNAL", opts=options
                )
        self.ids = {version: address.id for version, address in addresses.items()}
        self.texts = {version: address.address for version, address in addresses.items()}
        self.register_outputs({})
