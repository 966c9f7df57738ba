"""A small program with one of everything that the engine must see; test_engine.py says what."""

from __future__ import annotations

import sys

import pulumi
import pulumi_gcp as gcp


class Pair(pulumi.ComponentResource):
    """A component with a network and a subnetwork that depends on it twice over."""

    def __init__(self, name: str) -> None:
        super().__init__("sample:index:Pair", name)
        self.network = gcp.compute.Network(
            f"{name}-network", auto_create_subnetworks=False, opts=pulumi.ResourceOptions(parent=self, protect=True)
        )
        self.subnetwork = gcp.compute.Subnetwork(
            f"{name}-subnetwork",
            network=self.network.id,
            ip_cidr_range="10.0.0.0/24",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.network], delete_before_replace=True),
        )
        self.register_outputs({})


config = pulumi.Config()
fault = config.get("fault")
if fault == "configuration":
    raise pulumi.RunError("size is 0: expected 1 or more.")
if fault == "exception":
    raise ZeroDivisionError
if fault == "hang":
    import signal

    signal.pause()

zones = gcp.compute.get_zones(region="europe-west4").names
pair = Pair("pair")
account = gcp.serviceaccount.Account("account", account_id="sample-account")
template = gcp.compute.InstanceTemplate(
    "template",
    machine_type=config.require("machineType"),
    disks=[gcp.compute.InstanceTemplateDiskArgs(boot=True, disk_size_gb=30)],
    network_interfaces=[gcp.compute.InstanceTemplateNetworkInterfaceArgs(subnetwork=pair.subnetwork.self_link)],
    metadata={"user": account.email.apply(str.upper), "token": config.require_secret("token")},
    service_account=gcp.compute.InstanceTemplateServiceAccountArgs(email=account.email, scopes=["cloud-platform"]),
)
# A dictionary lets a misspelt key pass, and a missing one.
if fault == "dictionary":
    gcp.compute.Firewall("firewall", network=pair.network.id, allows=[{"portz": ["80"]}])  # type: ignore[list-item]
if fault == "duplicate":
    gcp.compute.Network("twin")
    gcp.compute.Network("twin")
if fault == "lookup":
    gcp.compute.get_image(family="cos-stable", project="cos-cloud")

pulumi.log.info("registered")
pulumi.export("zones", zones)
pulumi.export("account", account.email)
pulumi.export("secret", config.require_secret("token"))
pulumi.export("modulePath", list(sys.path))
