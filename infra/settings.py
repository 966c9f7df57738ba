"""Every setting of the stack, and what follows from them; configuration.py reads and checks them.

A field's name in camel case is the configuration key; Pulumi.yaml holds the same defaults and sentences, and a test
compares the two. Nothing here knows Pulumi.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from infra import container, machines, names, rates, setting_types
from infra.setting_types import setting

# Ranges that one rule of the balancer's policy takes (https://cloud.google.com/armor/quotas).
RANGES_PER_RULE = 10


@dataclass(frozen=True)
class Settings:
    """The stack's settings, immutable and checked."""

    stack: str
    project: str
    region: str
    allowlist: tuple[str, ...] = setting(
        (), setting_types.LIST, "Address ranges (CIDR) that may use the service; nobody else gets in."
    )
    image: str = setting(
        "",
        setting_types.TEXT,
        "The image to run, by digest: REGISTRY/classifier@sha256:...; empty makes the foundations only.",
    )
    topology: str = setting(
        "fleet",
        setting_types.one_of("fleet", "single"),
        "fleet: groups of machines behind a balancer; single: one machine with an address of its own.",
    )
    machine_type: str = setting(
        "e2-medium", setting_types.TEXT, "Google's machine type, for example e2-medium or t2d-standard-2."
    )
    disk_gb: int = setting(30, setting_types.integer(10, 2000), "Size of each machine's boot disk, in GB.")
    disk_type: str = setting(
        "pd-balanced",
        setting_types.one_of("pd-balanced", "pd-ssd", "hyperdisk-balanced"),
        "Kind of boot disk: pd-balanced, pd-ssd or, for the newest series, hyperdisk-balanced.",
    )
    machine_image: str = setting(
        "projects/cos-cloud/global/images/family/cos-stable",
        setting_types.TEXT,
        "Image family of the machines' system; each new machine boots its newest release.",
    )
    zones: tuple[str, ...] = setting(
        (), setting_types.LIST, "Zones to spread the machines over; empty takes three of the region."
    )
    spot_min: int = setting(1, setting_types.integer(0, 1000), "Fewest Spot machines.")
    spot_max: int = setting(3, setting_types.integer(0, 1000), "Most Spot machines; 0 for none of them.")
    on_demand_min: int = setting(
        0, setting_types.integer(0, 1000), "Fewest on-demand machines: the base that Google does not take back."
    )
    on_demand_max: int = setting(
        0,
        setting_types.integer(0, 1000),
        "Most on-demand machines, which step in where Spot machines cannot be had; 0 for none.",
    )
    max_surge: int = setting(
        0,
        setting_types.integer(0, 1000),
        "Machines of a group that an update may add at once, at least one for each zone; 0 for a quarter of the group.",
    )
    wait_for_instances: bool = setting(
        True,
        setting_types.BOOLEAN,
        "Whether `pulumi up` waits until a group's machines are healthy; the pipeline waits by itself.",
    )
    refreshed: str = setting(
        "", setting_types.TEXT, "A date, part of each machine's description: another date renews all machines."
    )
    max_rate_per_instance: int = setting(
        5,
        setting_types.integer(1, 100_000),
        "Requests a second that one machine takes within its latency target; measure it with "
        "`python -m loadtest rate`.",
    )
    rate_file: str = setting(
        "", setting_types.TEXT, "File that `python -m loadtest rate` wrote; it takes the place of maxRatePerInstance."
    )
    scale_at_percent: int = setting(
        70, setting_types.integer(10, 90), "Share of maxRatePerInstance in use at which the Spot group grows."
    )
    drain_sec: int = setting(
        15, setting_types.integer(1, 29), "Time that a stopping machine serves on while the balancer looks away."
    )
    request_timeout_sec: int = setting(10, setting_types.integer(1, 29), "Time that the service gives a request.")
    log_level: str = setting(
        "info",
        setting_types.one_of("debug", "info", "warning", "error"),
        "The service's log level; from warning on, requests are not logged.",
    )
    subnet_range: str = setting("10.10.0.0/20", setting_types.TEXT, "Private addresses of the machines.")
    iap_ssh: bool = setting(
        False, setting_types.BOOLEAN, "Whether to admit SSH, through Identity-Aware Proxy's tunnel only."
    )
    https: bool = setting(False, setting_types.BOOLEAN, "Whether to serve HTTPS; needs domains.")
    redirect_http: bool = setting(
        True,
        setting_types.BOOLEAN,
        "Whether HTTP leads to HTTPS; false serves both, until the certificates are there.",
    )
    domains: tuple[str, ...] = setting(
        (), setting_types.LIST, "Host names to serve over HTTPS, each with a certificate of its own."
    )
    certificates: str = setting(
        "load-balancer",
        setting_types.one_of("load-balancer", "dns", "both"),
        "How Google checks the names: load-balancer, once they lead to it; dns, by a record, before they do; both "
        "prepares dns while the others serve.",
    )
    iap_members: tuple[str, ...] = setting(
        (),
        setting_types.LIST,
        "Who may sign in through Identity-Aware Proxy, such as group:team@example.com; empty turns it off.",
    )
    iap_client_id: str = setting(
        "",
        setting_types.TEXT,
        "OAuth client of one's own for the sign-in, which programs can name; empty for Google's.",
    )
    iap_client_secret: str = setting(
        "", setting_types.TEXT, "That client's secret: set it with `pulumi config set --secret`."
    )
    requests_per_minute: int = setting(
        600, setting_types.integer(10, 1_000_000), "Requests a minute that one address may make before it gets 429."
    )
    waf_rules: tuple[str, ...] = setting(
        (),
        setting_types.LIST,
        "Google's preconfigured rules to apply within the allowlist, such as scannerdetection-v422-stable.",
    )
    waf_preview: bool = setting(True, setting_types.BOOLEAN, "Whether those rules only log what they would deny.")
    log_sample_percent: int = setting(100, setting_types.integer(0, 100), "Share of requests that the balancer logs.")
    alert_emails: tuple[str, ...] = setting((), setting_types.LIST, "Where alerts are sent.")
    alert_latency_ms: int = setting(
        250, setting_types.integer(1, 30_000), "The 95th percentile of latency that raises an alert."
    )
    alert_error_percent: int = setting(1, setting_types.integer(1, 100), "Share of 5xx answers that raises an alert.")
    monthly_budget: int = setting(
        0,
        setting_types.integer(0, 1_000_000_000),
        "Budget, in the billing account's currency, that sends an alert when it is being used up; 0 for none.",
    )
    billing_account: str = setting("", setting_types.TEXT, "Billing account of the budget, as XXXXXX-XXXXXX-XXXXXX.")
    pipeline: bool = setting(
        False, setting_types.BOOLEAN, "Whether Cloud Build may deploy this stack: makes its two accounts."
    )
    repository: str = setting(
        "",
        setting_types.TEXT,
        "Repository on GitHub, as OWNER/NAME, of which pushes are deployed and pull requests previewed.",
    )
    branch: str = setting("main", setting_types.TEXT, "The branch that is deployed.")
    build_region: str = setting("", setting_types.TEXT, "Region in which Cloud Build works; empty takes the stack's.")
    connection: str = setting(
        "github", setting_types.TEXT, "Name of Cloud Build's connection to GitHub, in the region of the builds."
    )
    github_installation: int = setting(
        0,
        setting_types.integer(0, 10**12),
        "Number of Cloud Build's installation on GitHub, to have the stack make the connection; 0 where it is there.",
    )
    maintenance: bool = setting(
        True,
        setting_types.BOOLEAN,
        "Whether builds renew the machines twice a month, with the same image, and look for drift each night.",
    )
    mirror: bool = setting(
        False, setting_types.BOOLEAN, "Whether builds take Docker Hub's images from a mirror in this project."
    )
    github_token_secret: str = setting(
        "", setting_types.TEXT, "Secret with the token of the connection that the stack makes."
    )
    comment_secret: str = setting(
        "", setting_types.TEXT, "Secret with a token that may comment on pull requests; empty for no comments."
    )

    @classmethod
    def table(cls) -> list[tuple[str, str, Any, str]]:
        """List the settings as (key, Pulumi's type, default, sentence), in Pulumi.yaml's order."""
        return [
            (
                key(item.name),
                item.metadata["type"].pulumi_type,
                list(item.default) if isinstance(item.default, tuple) else item.default,
                item.metadata["text"],
            )
            for item in fields(cls)
            if item.metadata
        ]

    @property
    def name(self) -> str:
        """Return the beginning of every resource's name."""
        return names.prefix(self.stack)

    @property
    def registry(self) -> str:
        """Return the repository's address, without a protocol."""
        return names.registry(self.project, self.region, self.stack)

    @property
    def mirror_address(self) -> str:
        """Return the address of the mirror of Docker Hub, without a protocol."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{names.mirror(self.stack)}"

    @property
    def state_bucket(self) -> str:
        """Return the bucket with Pulumi's state, which `make bootstrap` makes."""
        return names.state_bucket(self.project)

    @property
    def state_key(self) -> str:
        """Return the full name of the key of the state's secrets, which `make bootstrap` makes."""
        return names.state_key(self.project, self.region, self.stack)

    @property
    def dns_certificates(self) -> bool:
        """Return whether there are certificates that a DNS record proves."""
        return self.https and self.certificates in ("dns", "both")

    @property
    def builds_in(self) -> str:
        """Return the region in which Cloud Build works."""
        return self.build_region or self.region

    @property
    def single(self) -> bool:
        """Return whether there is one machine and no balancer."""
        return self.topology == "single"

    @property
    def port(self) -> int:
        """Return the machines' port: the web's own where people come without a balancer."""
        return 80 if self.single else container.PORT

    @property
    def ipv6(self) -> bool:
        """Return whether the balancer listens on an IPv6 address too: where the allowlist names one."""
        return any(":" in entry for entry in self.allowlist)

    @property
    def allowlist_rules(self) -> tuple[tuple[str, ...], ...]:
        """Return the allowlist in pieces that a rule can take."""
        starts = range(0, len(self.allowlist), RANGES_PER_RULE)
        return tuple(self.allowlist[start : start + RANGES_PER_RULE] for start in starts)

    @property
    def machine(self) -> machines.Machine:
        """Return the machine type's shape."""
        return machines.parse(self.machine_type)

    @property
    def zone_names(self) -> tuple[str, ...]:
        """Return the zones' full names."""
        return self.zones or tuple(f"{self.region}-{letter}" for letter in _three_zones(self.region))

    @property
    def environment(self) -> dict[str, str]:
        """Return the service's own settings, by environment variable."""
        values = {
            "DRAIN_SEC": self.drain_sec,
            "REQUEST_TIMEOUT_SEC": self.request_timeout_sec,
            "LOG_LEVEL": self.log_level,
        }
        if not self.single:
            values["KEEPALIVE_SEC"] = container.KEEPALIVE_SEC
        return {name: str(value) for name, value in values.items()}

    @property
    def rate(self) -> float:
        """Return the requests a second that one machine takes, measured where there is a file."""
        return rates.read(self.rate_file) if self.rate_file else float(self.max_rate_per_instance)


def _three_zones(region: str) -> str:
    # All regions have the zones a, b and c but these two (https://cloud.google.com/compute/docs/regions-zones).
    return "bcd" if region in ("us-east1", "europe-west1") else "abc"


def key(name: str) -> str:
    """Return a field's configuration key: its name in camel case."""
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)
