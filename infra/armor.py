"""Who may use the service through the balancer: the allowlist, and how fast; everybody else is refused.

The first rule that matches ends the evaluation. So Google's preconfigured rules come before the allowlist, or they
would never be asked, and the allowlist's own rules do the throttling.

A range that moves from one rule to another is refused for the moment between two calls: new ranges belong at the end of
the list.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.names import ALLOWLIST_PRIORITY, WAF_PRIORITY
from infra.settings import Settings

# The lowest. Without an explicit rule here the provider adds one that lets everybody in.
DEFAULT_PRIORITY = 2147483647


class Armor(pulumi.ComponentResource):
    """The security policy."""

    def __init__(self, settings: Settings, *, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:Armor", settings.name)
        self.policy = gcp.compute.SecurityPolicy(
            settings.name,
            type="CLOUD_ARMOR",
            description="The allowlist; everybody else is refused",
            rules=[*_waf(settings), *_allowlist(settings), _default()],
            # Which signature a rule in preview would have fired on is in the verbose log only.
            advanced_options_config=gcp.compute.SecurityPolicyAdvancedOptionsConfigArgs(log_level="VERBOSE")
            if settings.waf_rules and settings.waf_preview
            else None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.register_outputs({})


def _waf(settings: Settings) -> list[gcp.compute.SecurityPolicyRuleArgs]:
    return [
        gcp.compute.SecurityPolicyRuleArgs(
            priority=WAF_PRIORITY + index,
            action="deny(403)",
            preview=settings.waf_preview,
            description=rule,
            match=gcp.compute.SecurityPolicyRuleMatchArgs(
                # The most certain signatures only: what is sent here is the inside of pictures.
                expr=gcp.compute.SecurityPolicyRuleMatchExprArgs(
                    expression=f"evaluatePreconfiguredWaf('{rule}', {{'sensitivity': 1}})"
                )
            ),
        )
        for index, rule in enumerate(settings.waf_rules)
    ]


def _allowlist(settings: Settings) -> list[gcp.compute.SecurityPolicyRuleArgs]:
    return [
        gcp.compute.SecurityPolicyRuleArgs(
            priority=ALLOWLIST_PRIORITY + index,
            action="throttle",
            description=f"Allowlist, part {index + 1}",
            match=gcp.compute.SecurityPolicyRuleMatchArgs(
                versioned_expr="SRC_IPS_V1",
                config=gcp.compute.SecurityPolicyRuleMatchConfigArgs(src_ip_ranges=list(ranges)),
            ),
            rate_limit_options=gcp.compute.SecurityPolicyRuleRateLimitOptionsArgs(
                conform_action="allow",
                exceed_action="deny(429)",
                enforce_on_key="IP",
                rate_limit_threshold=gcp.compute.SecurityPolicyRuleRateLimitOptionsRateLimitThresholdArgs(
                    count=settings.requests_per_minute, interval_sec=60
                ),
            ),
        )
        for index, ranges in enumerate(settings.allowlist_rules)
    ]


def _default() -> gcp.compute.SecurityPolicyRuleArgs:
    return gcp.compute.SecurityPolicyRuleArgs(
        priority=DEFAULT_PRIORITY,
        action="deny(403)",
        description="Everybody else",
        match=gcp.compute.SecurityPolicyRuleMatchArgs(
            versioned_expr="SRC_IPS_V1",
            config=gcp.compute.SecurityPolicyRuleMatchConfigArgs(src_ip_ranges=["*"]),
        ),
    )
