"""The network of the machines: no way in but from Google's balancer and probes, no way out but to Google's own APIs."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra import google_network
from infra.settings import Settings


class Network(pulumi.ComponentResource):
    """The network, its one subnetwork and its firewall.

    Pictures cannot leave: whatever a machine sends goes to Google's APIs or nowhere, also where it has an external
    address. Answers to what was let in are always let out.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        account_email: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__("classifier:infra:Network", settings.name)
        self._name = settings.name
        self._account_email = account_email
        self.network = gcp.compute.Network(
            settings.name,
            auto_create_subnetworks=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.subnetwork = gcp.compute.Subnetwork(
            settings.name,
            network=self.network.id,
            region=settings.region,
            ip_cidr_range=settings.subnet_range,
            private_ip_google_access=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        # The rule of a fleet's port and that of a single machine's are two: the topology can change while both serve.
        origin = "probes" if settings.single else "balancer"
        probes = self._admit(origin, google_network.BALANCER_RANGES, settings.port)
        if settings.iap_ssh:
            self._admit("ssh-through-iap", (google_network.TUNNEL_RANGE,), 22)
        # A machine that starts before these are there finds no way to its image, or is never found healthy.
        self.prerequisites = [probes, *self._close_the_way_out()]
        self.register_outputs({})

    def _admit(self, name: str, ranges: Sequence[str], port: int) -> gcp.compute.Firewall:
        return gcp.compute.Firewall(
            f"{self._name}-allow-{name}",
            network=self.network.id,
            direction="INGRESS",
            source_ranges=list(ranges),
            target_service_accounts=[self._account_email],
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=[str(port)])],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _close_the_way_out(self) -> list[pulumi.Resource]:
        child = pulumi.ResourceOptions(parent=self)
        allow = gcp.compute.Firewall(
            f"{self._name}-allow-google-apis",
            network=self.network.id,
            direction="EGRESS",
            priority=1000,
            destination_ranges=[google_network.APIS_RANGE],
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=["443"])],
            opts=child,
        )
        deny = gcp.compute.Firewall(
            f"{self._name}-deny-egress",
            network=self.network.id,
            direction="EGRESS",
            # The last before the rule that Google implies, which lets everything out.
            priority=65534,
            destination_ranges=["0.0.0.0/0"],
            denies=[gcp.compute.FirewallDenyArgs(protocol="all")],
            opts=child,
        )
        return [
            allow,
            deny,
            *(record for name, domain in google_network.DOMAINS.items() for record in self._zone(name, domain)),
        ]

    def _zone(self, name: str, domain: str) -> list[pulumi.Resource]:
        """Make the names of one of Google's domains lead to its private addresses."""
        child = pulumi.ResourceOptions(parent=self)
        zone = gcp.dns.ManagedZone(
            f"{self._name}-{name}",
            dns_name=domain,
            description=f"{domain} at Google's private addresses",
            visibility="private",
            private_visibility_config=gcp.dns.ManagedZonePrivateVisibilityConfigArgs(
                networks=[gcp.dns.ManagedZonePrivateVisibilityConfigNetworkArgs(network_url=self.network.self_link)]
            ),
            opts=child,
        )
        apex = gcp.dns.RecordSet(
            f"{self._name}-{name}-apex",
            managed_zone=zone.name,
            name=domain,
            type="A",
            ttl=300,
            rrdatas=list(google_network.APIS_ADDRESSES),
            opts=child,
        )
        names = gcp.dns.RecordSet(
            f"{self._name}-{name}-all",
            managed_zone=zone.name,
            name=f"*.{domain}",
            type="CNAME",
            ttl=300,
            rrdatas=[domain],
            opts=child,
        )
        return [apex, names]
