"""The deployment: this file is its diagram.

    fleet     people -> armor (the allowlist) -> balancer -> machines, on-demand and Spot -> registry, logs
    single    people -> firewall (the allowlist) ----------> one machine ----------------> registry, logs
                                                                      `-> monitoring: dashboard, alerts

Without an image only the foundations are made: what it takes to build and push one.
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
from infra.apis import Apis
from infra.armor import Armor
from infra.balancer import Balancer
from infra.cost import estimate
from infra.fleet import PORT_NAME, Fleet
from infra.identity import Identity
from infra.monitoring import Monitoring
from infra.network import Network
from infra.pipeline import Pipeline
from infra.registry import Registry
from infra.settings import Settings
from infra.single import DirectAccess
from infra.triggers import Triggers


def deploy(settings: Settings) -> None:
    """Register everything that the settings ask for, and export what a person wants to know."""
    foundations = Foundations(settings)
    exports = {
        "registry": settings.registry,
        "region": settings.region,
        "serviceAccount": foundations.identity.account.email,
        "network": foundations.network.network.name,
        "image": settings.image,
        "monthlyCostUsd": estimate.estimate(settings),
    }
    if not settings.image:
        exports |= {"url": "", "curl": "", "dashboard": "", "groups": [], "next": outputs.build_first(settings)}
    elif settings.single:
        exports |= single(settings, foundations)
    else:
        exports |= fleet(settings, foundations)
    for name, value in exports.items():
        pulumi.export(name, value)


class Foundations:
    """What an image needs in order to be built and pushed, and a machine in order to run it."""

    def __init__(self, settings: Settings) -> None:
        self.apis = Apis(settings).enabled
        self.identity = Identity(settings, after=self.apis)
        self.registry = Registry(settings, reader=self.identity.account.member, after=self.apis)
        self.network = Network(settings, machines=self.identity.account.email, after=self.apis)
        if settings.pipeline:
            self.pipeline = Pipeline(
                settings,
                machines=self.identity.account.name,
                images=self.registry.repository.name,
                after=self.apis,
            )
            if settings.repository:
                Triggers(
                    settings,
                    deployer=self.pipeline.deployer.id,
                    previewer=self.pipeline.previewer.id,
                    # The first build must not start before its account may do what it needs.
                    after=[*self.apis, *self.pipeline.rights],
                )


def fleet(settings: Settings, base: Foundations) -> dict[str, Any]:
    """Groups of machines behind a balancer."""
    machines = _machines(settings, base)
    armor = Armor(settings, after=base.apis)
    balancer = Balancer(
        settings,
        port_name=PORT_NAME,
        groups=[group.manager.instance_group for group in machines.groups],
        policy=armor.policy.id,
        after=base.apis,
    )
    groups = [group.manager.name for group in machines.groups]
    addresses = {version: address.address for version, address in balancer.addresses.items()}
    monitoring = Monitoring(
        settings, groups=machines.base_names, url_map=balancer.url_map.name, address=addresses["ipv4"], after=base.apis
    )
    # Through which the pipeline admits itself for its tests.
    return {**_exports(settings, addresses, groups, monitoring), "securityPolicy": armor.policy.name}


def single(settings: Settings, base: Foundations) -> dict[str, Any]:
    """One machine with an address of its own."""
    access = DirectAccess(
        settings, network=base.network.network.id, machines=base.identity.account.email, after=base.apis
    )
    machines = _machines(settings, base, access.address.address)
    groups = [group.manager.name for group in machines.groups]
    monitoring = Monitoring(settings, groups=machines.base_names, after=base.apis)
    return _exports(settings, {"ipv4": access.address.address}, groups, monitoring)


def _machines(settings: Settings, base: Foundations, address: pulumi.Input[str] | None = None) -> Fleet:
    return Fleet(
        settings,
        user_data=cloud_init.render(settings),
        subnetwork=base.network.subnetwork.id,
        account=base.identity.account.email,
        address=address,
        # A machine that starts before it may read its image, or before the way to it is open, starts in vain.
        after=[*base.apis, base.registry.reader, *base.identity.roles, *base.network.ways],
    )


def _exports(
    settings: Settings,
    addresses: dict[str, pulumi.Output[str]],
    groups: list[pulumi.Output[str]],
    monitoring: Monitoring,
) -> dict[str, Any]:
    url = addresses["ipv4"].apply(lambda address: outputs.url(settings, address))
    return {
        "url": url,
        "curl": url.apply(lambda url: outputs.curl(settings, url)),
        "addresses": addresses,
        "dashboard": monitoring.dashboard.id.apply(lambda name: outputs.dashboard(settings, name)),
        "groups": groups,
        "next": pulumi.Output.all(**addresses).apply(lambda known: outputs.next_step(settings, known)),
    }


if __name__ == "__main__":
    deploy(configuration.read())
