"""What people look at and what wakes them: the dashboard, the alerts, the check from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pulumi
import pulumi_gcp as gcp

from infra import alert_conditions, dashboard, names
from infra.plans import GroupPlan
from infra.settings import Settings


@dataclass(frozen=True)
class BalancerMetrics:
    """By what a fleet is told apart: its URL map's name, its address, and its machines' metric, as PromQL writes it."""

    url_map: pulumi.Input[str]
    address: pulumi.Input[str]
    unhealthy_metric: str


class Group(Protocol):
    """What is asked of a group of machines (fleet.py)."""

    plan: GroupPlan
    manager: gcp.compute.RegionInstanceGroupManager


class Monitoring(pulumi.ComponentResource):
    """The dashboard and the alerts of a fleet or of one machine."""

    def __init__(
        self,
        settings: Settings,
        *,
        groups: Sequence[Group],
        channels: Sequence[pulumi.Input[str]],
        balancer: BalancerMetrics | None = None,
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Register them.

        Args:
            settings: the stack's.
            groups: the groups of machines.
            channels: names of the channels that alerts go to.
            balancer: what a fleet's alerts are about; None for a single machine.
            after: what must be there before.
        """
        super().__init__("classifier:infra:Monitoring", settings.name)
        self._settings = settings
        self._root = pulumi.ResourceOptions(parent=self, depends_on=after)
        self._channels = list(channels)
        base_names = [group.manager.base_instance_name for group in groups]
        if balancer is not None:
            document = pulumi.Output.all(balancer.url_map, base_names).apply(
                lambda both: dashboard.of_fleet(both[0], both[1])
            )
            self._alerts_of_a_fleet(balancer, groups)
            self._from_outside(balancer.address)
        else:
            document = pulumi.Output.from_input(base_names[0]).apply(dashboard.of_single)
            # Nothing outside can reach the one machine to ask.
            title = "the machine has been gone for fifteen minutes"
            self._alert("gone", title, alert_conditions.gone(title, base_names[0]))
        self.dashboard = gcp.monitoring.Dashboard(
            settings.name, dashboard_json=pulumi.Output.json_dumps(document), opts=self._root
        )
        self.register_outputs({})

    def _alert(self, name: str, title: str, *conditions: gcp.monitoring.AlertPolicyConditionArgs) -> None:
        handbook = names.handbook(name, self._settings.repository, self._settings.branch)
        gcp.monitoring.AlertPolicy(
            f"{self._settings.name}-{name}",
            display_name=f"{self._settings.name}: {title}",
            combiner="OR",
            conditions=conditions,
            notification_channels=self._channels,
            documentation=gcp.monitoring.AlertPolicyDocumentationArgs(
                content=f"{title}. {handbook}", mime_type="text/markdown"
            ),
            alert_strategy=gcp.monitoring.AlertPolicyAlertStrategyArgs(auto_close="86400s"),
            opts=self._root,
        )

    def _alerts_of_a_fleet(self, balancer: BalancerMetrics, groups: Sequence[Group]) -> None:
        settings = self._settings
        title = f"p95 above {settings.alert_latency_ms} ms for five minutes"
        self._alert("slow", title, alert_conditions.slow(title, balancer.url_map, settings.alert_latency_ms))
        title = f"more than {settings.alert_error_percent} % of answers are 5xx"
        self._alert("errors", title, alert_conditions.errors(title, balancer.url_map, settings.alert_error_percent))
        # Google takes Spot machines back one by one; more than one for each zone in ten minutes is no
        # longer normal.
        limit = len(settings.zone_names)
        title = f"more than {limit} machines turned unhealthy within ten minutes"
        self._alert("unhealthy", title, alert_conditions.unhealthy(title, balancer.unhealthy_metric, limit))
        at_maximum = [
            alert_conditions.at_maximum(
                f"{group.plan.name} has had {group.plan.max_size} machines for half an hour",
                group.manager.name,
                group.plan.max_size,
            )
            for group in groups
            if group.plan.max_size > group.plan.min_size
        ]
        if at_maximum:
            title = "a group of machines has been at its maximum for half an hour"
            self._alert("at-maximum", title, *at_maximum)

    def _from_outside(self, address: pulumi.Input[str]) -> None:
        """Knock as a stranger, every five minutes, from several continents: the answer must be a refusal.

        It says that the address, the certificate and the balancer work, and that the allowlist is closed. Admitting
        the check instead would admit every customer of Google's.
        """
        settings = self._settings
        open_to_all = any(entry.endswith("/0") for entry in settings.allowlist)
        refusal = 401 if open_to_all else 403
        check = gcp.monitoring.UptimeCheckConfig(
            f"{settings.name}-from-outside",
            display_name=f"{settings.name}: strangers are refused",
            timeout="10s",
            period="300s",
            http_check=gcp.monitoring.UptimeCheckConfigHttpCheckArgs(
                path="/readyz",
                port=443 if settings.https else 80,
                use_ssl=settings.https,
                validate_ssl=settings.https,
                # With this header Identity-Aware Proxy says 401 instead of leading to its page.
                headers={"X-Requested-With": "XMLHttpRequest"},
                accepted_response_status_codes=[
                    gcp.monitoring.UptimeCheckConfigHttpCheckAcceptedResponseStatusCodeArgs(status_value=refusal)
                ],
            ),
            monitored_resource=gcp.monitoring.UptimeCheckConfigMonitoredResourceArgs(
                type="uptime_url",
                labels={
                    "project_id": settings.project,
                    "host": settings.domains[0] if settings.https else address,
                },
            ),
            opts=self._root,
        )
        title = "strangers do not get the refusal that they should"
        self._alert("from-outside", title, alert_conditions.not_refused(title, check.uptime_check_id))
