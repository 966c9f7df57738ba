"""Every setting of the stack: read once, from Pulumi's configuration, and checked before anything is registered.

A field's name in camel case is the configuration key; Pulumi.yaml holds the same defaults and sentences, and a test
compares the two. `Settings.from_config` needs no Pulumi; `read` is the only reader of pulumi.Config.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from infra import checks, container, kinds, machines, rates
from infra.kinds import setting

# Ranges that one rule of the balancer's policy takes (https://cloud.google.com/armor/quotas).
RANGES_PER_RULE = 10


class SettingError(ValueError):
    """A configuration that cannot be used; the message has a line for each mistake, with its remedy."""


@dataclass(frozen=True)
class GroupPlan:
    """One group of machines: how many, of which kind, and at which load it grows."""

    name: str
    spot: bool
    min_size: int
    max_size: int
    scale_at: float

    @property
    def fixed(self) -> bool:
        """Return whether the group never changes its size, and so needs no autoscaler."""
        return self.min_size == self.max_size


@dataclass(frozen=True)
class Settings:
    """The stack's settings, immutable and checked."""

    stack: str
    project: str
    region: str
    allowlist: tuple[str, ...] = setting(
        (), kinds.LIST, "Address ranges (CIDR) that may use the service; nobody else gets in."
    )
    image: str = setting(
        "", kinds.TEXT, "The image to run, by digest: REGISTRY/classifier@sha256:...; empty makes the foundations only."
    )
    topology: str = setting(
        "fleet",
        kinds.one_of("fleet", "single"),
        "fleet: groups of machines behind a balancer; single: one machine with an address of its own.",
    )
    machine_type: str = setting(
        "e2-medium", kinds.TEXT, "Google's machine type, for example e2-medium or t2d-standard-2."
    )
    disk_gb: int = setting(30, kinds.integer(10, 2000), "Size of each machine's boot disk, in GB.")
    disk_type: str = setting(
        "pd-balanced",
        kinds.one_of("pd-balanced", "pd-ssd", "hyperdisk-balanced"),
        "Kind of boot disk: pd-balanced, pd-ssd or, for the newest series, hyperdisk-balanced.",
    )
    machine_image: str = setting(
        "projects/cos-cloud/global/images/family/cos-stable",
        kinds.TEXT,
        "Image family of the machines' system; each new machine boots its newest release.",
    )
    zones: tuple[str, ...] = setting(
        (), kinds.LIST, "Zones to spread the machines over; empty takes three of the region."
    )
    spot_min: int = setting(1, kinds.integer(0, 1000), "Fewest Spot machines.")
    spot_max: int = setting(3, kinds.integer(0, 1000), "Most Spot machines; 0 for none of them.")
    on_demand_min: int = setting(
        0, kinds.integer(0, 1000), "Fewest on-demand machines: the base that Google does not take back."
    )
    on_demand_max: int = setting(
        0,
        kinds.integer(0, 1000),
        "Most on-demand machines, which step in where Spot machines cannot be had; 0 for none.",
    )
    max_surge: int = setting(
        3, kinds.integer(1, 1000), "Machines that an update may add at once; at least one for each zone."
    )
    max_rate_per_instance: int = setting(
        5,
        kinds.integer(1, 100_000),
        "Requests a second that one machine takes within its latency target; measure it with "
        "`python -m loadtest rate`.",
    )
    rate_file: str = setting(
        "", kinds.TEXT, "File that `python -m loadtest rate` wrote; it takes the place of maxRatePerInstance."
    )
    scale_at_percent: int = setting(
        70, kinds.integer(10, 90), "Share of maxRatePerInstance in use at which the Spot group grows."
    )
    drain_sec: int = setting(
        12, kinds.integer(1, 29), "Time that a stopping machine serves on while the balancer looks away."
    )
    request_timeout_sec: int = setting(10, kinds.integer(1, 29), "Time that the service gives a request.")
    log_level: str = setting(
        "info",
        kinds.one_of("debug", "info", "warning", "error"),
        "The service's log level; from warning on, requests are not logged.",
    )
    subnet_range: str = setting("10.10.0.0/20", kinds.TEXT, "Private addresses of the machines.")
    iap_ssh: bool = setting(False, kinds.BOOLEAN, "Whether to admit SSH, through Identity-Aware Proxy's tunnel only.")
    https: bool = setting(False, kinds.BOOLEAN, "Whether to serve HTTPS, and to lead HTTP there; needs domains.")
    domains: tuple[str, ...] = setting(
        (), kinds.LIST, "Host names to serve over HTTPS, each with a certificate of its own."
    )
    iap_members: tuple[str, ...] = setting(
        (),
        kinds.LIST,
        "Who may sign in through Identity-Aware Proxy, such as group:team@example.com; empty turns it off.",
    )
    requests_per_minute: int = setting(
        600, kinds.integer(10, 1_000_000), "Requests a minute that one address may make before it gets 429."
    )
    waf_rules: tuple[str, ...] = setting(
        (),
        kinds.LIST,
        "Google's preconfigured rules to apply within the allowlist, such as scannerdetection-v33-stable.",
    )
    waf_preview: bool = setting(True, kinds.BOOLEAN, "Whether those rules only log what they would deny.")
    log_sample_percent: int = setting(100, kinds.integer(0, 100), "Share of requests that the balancer logs.")
    alert_emails: tuple[str, ...] = setting((), kinds.LIST, "Where alerts are sent.")
    alert_latency_ms: int = setting(
        250, kinds.integer(1, 30_000), "The 95th percentile of latency that raises an alert."
    )
    alert_error_percent: int = setting(1, kinds.integer(1, 100), "Share of 5xx answers that raises an alert.")
    monthly_budget_usd: int = setting(
        0, kinds.integer(0, 1_000_000), "Budget that sends an alert when it is being used up; 0 for none."
    )
    billing_account: str = setting("", kinds.TEXT, "Billing account of the budget, as XXXXXX-XXXXXX-XXXXXX.")
    pipeline: bool = setting(False, kinds.BOOLEAN, "Whether Cloud Build may deploy this stack: makes its two accounts.")
    repository: str = setting(
        "", kinds.TEXT, "Repository on GitHub, as OWNER/NAME, of which pushes are deployed and pull requests previewed."
    )
    branch: str = setting("main", kinds.TEXT, "The branch that is deployed.")
    connection: str = setting(
        "github", kinds.TEXT, "Name of Cloud Build's connection to GitHub, in the stack's region."
    )
    github_installation: int = setting(
        0,
        kinds.integer(0, 10**12),
        "Number of Cloud Build's installation on GitHub, to have the stack make the connection; 0 where it is there.",
    )
    github_token_secret: str = setting("", kinds.TEXT, "Secret with the token of the connection that the stack makes.")
    comment_secret: str = setting(
        "", kinds.TEXT, "Secret with a token that may comment on pull requests; empty for no comments."
    )

    @classmethod
    def from_config(cls, config: Mapping[str, str], *, stack: str, project: str, region: str) -> Settings:
        """Read and check all settings at once.

        Args:
            config: keys without their namespace to values as Pulumi stores them: text, or JSON for lists.
            stack: the stack's name, part of every resource's name.
            project: Google's project id.
            region: Google's region.

        Raises:
            SettingError: a sentence for every mistake: the key, its value, what to write instead.
        """
        known = {_camel(item.name): item for item in fields(cls) if item.metadata}
        mistakes = [_unknown(key, list(known)) for key in config if key not in known]
        values: dict[str, Any] = {}
        for key, item in known.items():
            text = config.get(key, "").strip()
            if not text:
                continue
            kind: kinds.Kind = item.metadata["kind"]
            try:
                values[item.name] = kind.parse(text)
            except (ValueError, KeyError):
                mistakes.append(f"{key} is {text!r}: expected {kind.expected}.")
        unread = {sentence.split(" ", 1)[0] for sentence in mistakes}
        settings = cls(stack=stack, project=project, region=region, **values)
        # What could not be read has its default here, of which there is nothing to say.
        mistakes += [sentence for sentence in checks.mistakes(settings) if sentence.split(" ", 1)[0] not in unread]
        if mistakes:
            raise SettingError("\n".join(mistakes))
        return settings

    @classmethod
    def table(cls) -> list[tuple[str, str, Any, str]]:
        """List the settings as (key, Pulumi's type, default, sentence), in Pulumi.yaml's order."""
        return [
            (
                _camel(item.name),
                item.metadata["kind"].pulumi_type,
                list(item.default) if isinstance(item.default, tuple) else item.default,
                item.metadata["text"],
            )
            for item in fields(cls)
            if item.metadata
        ]

    @property
    def name(self) -> str:
        """Return the beginning of every resource's name."""
        return f"classifier-{self.stack}"

    @property
    def registry(self) -> str:
        """Return the repository's address, without a protocol."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{self.name}"

    @property
    def state_bucket(self) -> str:
        """Return the bucket with Pulumi's state, which pipeline/bootstrap.sh makes."""
        return f"{self.project}-pulumi-state"

    @property
    def state_key(self) -> str:
        """Return the full name of the key of the state's secrets, which pipeline/bootstrap.sh makes."""
        return f"projects/{self.project}/locations/{self.region}/keyRings/pulumi/cryptoKeys/state"

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

    @property
    def groups(self) -> tuple[GroupPlan, ...]:
        """Return the groups of machines to make.

        The on-demand group grows at a higher load than the Spot group, so that it grows only where Spot machines
        cannot be had.
        """
        if self.single:
            return (GroupPlan("single", self.on_demand_max == 0, 1, 1, 1.0),)
        spot = GroupPlan("spot", True, self.spot_min, self.spot_max, self.scale_at_percent / 100)
        # Halfway between the Spot group's mark and full.
        later = (spot.scale_at + 1) / 2 if self.spot_max else spot.scale_at
        on_demand = GroupPlan("on-demand", False, self.on_demand_min, self.on_demand_max, round(later, 2))
        return tuple(plan for plan in (on_demand, spot) if plan.max_size)


def _three_zones(region: str) -> str:
    # All regions have the zones a, b and c but these two (https://cloud.google.com/compute/docs/regions-zones).
    return "bcd" if region in ("us-east1", "europe-west1") else "abc"


def _camel(name: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]}?" if close else "Pulumi.yaml lists those that exist."
    return f"{key} is no setting of this stack: {hint}"


def read() -> Settings:
    """Read this stack's configuration from Pulumi.

    Raises:
        pulumi.RunError: with a line for each mistake, which Pulumi prints without a trace.
    """
    import pulumi

    config, google = pulumi.Config(), pulumi.Config("gcp")
    # pulumi.Config cannot list its keys, and a misspelt one would pass in silence.
    prefix = f"{config.name}:"
    keys = {key.removeprefix(prefix) for key in pulumi.runtime.get_config_env() if key.startswith(prefix)}
    keys |= {key for key, *_ in Settings.table()}
    values = {key: str(value) for key in sorted(keys) if (value := config.get(key)) is not None}
    try:
        return Settings.from_config(
            values, stack=pulumi.get_stack(), project=google.get("project") or "", region=google.get("region") or ""
        )
    except SettingError as error:
        raise pulumi.RunError(f"The configuration of stack {pulumi.get_stack()} has mistakes.\n{error}") from error
