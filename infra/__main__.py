"""The deployment: this file is its diagram.

    fleet     people -> armor (the allowlist) -> balancer -> machines, on-demand and Spot -> registry, logs
    single    people -> direct access (the allowlist) -----> one machine ----------------> registry, logs
                                                                      `-> monitoring: dashboard, alerts

Without an image only the foundations are made: what people must prepare, and what it takes to build and push one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# Pulumi runs this folder as a program: the package is not on the path, and this folder, which is, would hide other
# packages' modules of the same names.
if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import pulumi

from infra import cloud_init, configuration, outputs
from infra.addresses import Addresses
from infra.apis import Apis
from infra.armor import Armor
from infra.balancer import Balancer
from infra.budget import Budget
from infra.build_alert import BuildAlert
from infra.certificates import Certificates
from infra.channels import Channels
from infra.cost import estimate
from infra.direct_access import DirectAccess
from infra.fleet import PORT_NAME, Fleet
from infra.health_log import HealthLog
from infra.identity import Identity
from infra.instance_template import Machine
from infra.mirror import Mirror
from infra.monitoring import BalancerMetrics, Monitoring
from infra.network import Network
from infra.pipeline import Pipeline
from infra.registry import Registry
from infra.settings import Settings
from infra.sign_in import SignIn
from infra.triggers import Triggers


def deploy(settings: Settings) -> None:
    """Register everything that the settings ask for, and export what a person wants to know."""
    base = Foundations(settings)
    exports: dict[str, Any] = {
        "registry": settings.registry,
        "region": settings.region,
        "serviceAccount": base.identity.account.email,
        "network": base.network.network.name,
        "image": settings.image,
        "refreshed": settings.refreshed,
        "addresses": base.addresses.texts,
        "records": base.records,
        "certificates": settings.certificates if settings.https else "",
        "monthlyCostUsd": estimate.estimate(settings),
    }
    if not settings.image:
        first = pulumi.Output.from_input(base.records).apply(lambda records: outputs.build_first(settings, records))
        exports |= {"url": "", "curl": "", "dashboard": "", "groups": [], "groupDetails": [], "next": first}
    elif settings.single:
        exports |= single(settings, base)
    else:
        exports |= fleet(settings, base)
    for name, value in exports.items():
        pulumi.export(name, value)


class Foundations:
    """What people must know before there is a machine, and what an image needs to be built and a machine to run it.

    A person makes them: no build may (pipeline.py).
    """

    def __init__(self, settings: Settings) -> None:
        self.apis = Apis(settings).enabled
        self.addresses = Addresses(settings, after=self.apis)
        self.certificates = Certificates(settings, after=self.apis) if settings.dns_certificates else None
        self.records = pulumi.Output.all(
            self.addresses.texts, self.certificates.records if self.certificates else []
        ).apply(lambda both: outputs.records(settings, both[0], both[1]))
        self.identity = Identity(settings, after=self.apis)
        self.registry = Registry(settings, reader=self.identity.account.member, after=self.apis)
        self.network = Network(settings, account_email=self.identity.account.email, after=self.apis)
        self.channels = Channels(settings, after=self.apis).names
        self.health_log = None if settings.single else HealthLog(settings, after=self.apis)
        if settings.iap_members:
            SignIn(settings, after=self.apis)
        if settings.monthly_budget:
            Budget(settings, channels=self.channels, after=self.apis)
        if settings.pipeline:
            self.pipeline = Pipeline(
                settings,
                machines_account=self.identity.account.name,
                images=self.registry.repository.name,
                after=self.apis,
            )
            if settings.repository:
                self._builds(settings)

    def _builds(self, settings: Settings) -> None:
        accounts = {"pipeline": self.pipeline.deployer, "preview": self.pipeline.previewer}
        rights = [*self.pipeline.rights]
        if settings.mirror:
            readers = {who: account.member for who, account in accounts.items()}
            rights += Mirror(settings, readers=readers, after=self.apis).readers
        triggers = Triggers(
            settings,
            deployer=self.pipeline.deployer.id,
            previewer=self.pipeline.previewer.id,
            # The first build must not start before its account may do what it needs.
            after=[*self.apis, *rights],
        )
        BuildAlert(settings, triggers=triggers.ids, channels=self.channels, after=self.apis)


def fleet(settings: Settings, base: Foundations) -> dict[str, Any]:
    """Groups of machines behind a balancer."""
    machines = _machines(settings, base)
    armor = Armor(settings, after=base.apis)
    balancer = Balancer(
        settings,
        port_name=PORT_NAME,
        groups=[group.manager.instance_group for group in machines.groups],
        policy=armor.policy.id,
        addresses=base.addresses.ids,
        # Both kinds at once: the balancer's own serve while the others are being prepared.
        certificate_map=base.certificates.map if base.certificates and settings.certificates == "dns" else None,
        after=base.apis,
    )
    assert base.health_log is not None  # noqa: S101  # a fleet has one
    monitoring = Monitoring(
        settings,
        groups=machines.groups,
        channels=base.channels,
        balancer=BalancerMetrics(balancer.url_map.name, base.addresses.texts["ipv4"], base.health_log.query_name),
        after=base.apis,
    )
    # The policy through which the pipeline admits itself for its tests.
    return {**_exports(settings, base, machines, monitoring), "securityPolicy": armor.policy.name}


def single(settings: Settings, base: Foundations) -> dict[str, Any]:
    """One machine with an address of its own."""
    DirectAccess(
        settings,
        network=base.network.network.id,
        account_email=base.identity.account.email,
        after=base.apis,
    )
    machines = _machines(settings, base, base.addresses.texts["ipv4"])
    monitoring = Monitoring(settings, groups=machines.groups, channels=base.channels, after=base.apis)
    return _exports(settings, base, machines, monitoring)


def _machines(settings: Settings, base: Foundations, address: pulumi.Input[str] | None = None) -> Fleet:
    return Fleet(
        settings,
        Machine(
            user_data=cloud_init.render(settings),
            subnetwork=base.network.subnetwork.id,
            account_email=base.identity.account.email,
            address=address,
        ),
        # A machine that starts before it may read its image, or before the way to it is open, starts in vain.
        after=[*base.apis, base.registry.reader, *base.identity.roles, *base.network.prerequisites],
    )


def _exports(settings: Settings, base: Foundations, machines: Fleet, monitoring: Monitoring) -> dict[str, Any]:
    url = base.addresses.texts["ipv4"].apply(lambda address: outputs.url(settings, address))
    return {
        "url": url,
        "curl": url.apply(lambda url: outputs.curl(settings, url)),
        "dashboard": monitoring.dashboard.id.apply(lambda name: outputs.dashboard(settings, name)),
        "groups": [group.manager.name for group in machines.groups],
        # By which the pipeline knows how long an update may take.
        "groupDetails": [
            {
                "name": group.manager.name,
                "spot": group.plan.spot,
                "minSize": group.plan.min_size,
                "maxSize": group.plan.max_size,
                "maxSurge": group.plan.surge,
            }
            for group in machines.groups
        ],
        "next": pulumi.Output.all(base.addresses.texts["ipv4"], base.records).apply(
            lambda known: outputs.next_step(settings, known[0], known[1])
        ),
    }


if __name__ == "__main__":
    deploy(configuration.read())
