"""Certificates that a DNS record proves, which are there before the names lead to the balancer (Certificate Manager).

Part of the foundations: the record can be set, and the certificate issued, before there is a machine. The other kind,
which Google issues once a name leads to the balancer, is the balancer's own (balancer.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra.names import short
from infra.settings import Settings


class Certificates(pulumi.ComponentResource):
    """One authorisation and one certificate for each domain, and the map by which the balancer finds them.

    `map` is the map's address as a balancer's proxy takes it, `records` are the DNS records that prove the names.
    """

    def __init__(self, settings: Settings, *, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:Certificates", settings.name)
        root = pulumi.ResourceOptions(parent=self, depends_on=after)
        child = pulumi.ResourceOptions(parent=self)
        table = gcp.certificatemanager.CertificateMap(settings.name, opts=root)
        self.map = pulumi.Output.concat("//certificatemanager.googleapis.com/", table.id)
        self.records: list[pulumi.Output[dict[str, Any]]] = []
        for domain in settings.domains:
            name = f"{settings.name}-{short(domain)}"
            proof = gcp.certificatemanager.DnsAuthorization(name, domain=domain, opts=root)
            certificate = gcp.certificatemanager.Certificate(
                name,
                managed=gcp.certificatemanager.CertificateManagedArgs(domains=[domain], dns_authorizations=[proof.id]),
                opts=child,
            )
            gcp.certificatemanager.CertificateMapEntry(
                name, map=table.name, certificates=[certificate.id], hostname=domain, opts=child
            )
            self.records.append(
                proof.dns_resource_records.apply(
                    lambda records: {"name": records[0].name, "type": records[0].type, "value": records[0].data}
                )
            )
        self.register_outputs({})
