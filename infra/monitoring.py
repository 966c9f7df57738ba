"""What people look at and what wakes them: the dashboard, the alerts, the check from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pulumi
import pulumi_gcp as gcp

from infra import dashboard
from infra.plans import GroupPlan
from infra.settings import Settings

_RUNBOOK = "docs/operations.md says what it means and what to do."


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
            self._requests(balancer.url_map)
            self._unhealthy(balancer.unhealthy_metric)
            self._from_outside(balancer.address)
            self._at_maximum([group for group in groups if group.plan.max_size > group.plan.min_size])
        else:
            document = pulumi.Output.from_input(base_names[0]).apply(dashboard.of_single)
            self._machine_gone(base_names[0])
        self.dashboard = gcp.monitoring.Dashboard(
            settings.name, dashboard_json=pulumi.Output.json_dumps(document), opts=self._root
        )
        self.register_outputs({})

    def _alert(
        self, name: str, title: str, condition: gcp.monitoring.AlertPolicyConditionConditionThresholdArgs
    ) -> None:
        self._policy(
            name, title, [gcp.monitoring.AlertPolicyConditionArgs(display_name=title, condition_threshold=condition)]
        )

    def _policy(self, name: str, title: str, conditions: Sequence[gcp.monitoring.AlertPolicyConditionArgs]) -> None:
        gcp.monitoring.AlertPolicy(
            f"{self._settings.name}-{name}",
            display_name=f"{self._settings.name}: {title}",
            combiner="OR",
            conditions=conditions,
            notification_channels=self._channels,
            documentation=gcp.monitoring.AlertPolicyDocumentationArgs(
                content=f"{title}. {_RUNBOOK}", mime_type="text/markdown"
            ),
            alert_strategy=gcp.monitoring.AlertPolicyAlertStrategyArgs(auto_close="86400s"),
            opts=self._root,
        )

    def _requests(self, url_map: pulumi.Input[str]) -> None:
        settings = self._settings
        rule = pulumi.Output.format('resource.type="https_lb_rule" AND resource.label.url_map_name="{0}"', url_map)
        latency = 'metric.type="loadbalancing.googleapis.com/https/backend_latencies"'
        count = 'metric.type="loadbalancing.googleapis.com/https/request_count"'
        self._alert(
            "slow",
            f"p95 above {settings.alert_latency_ms} ms for five minutes",
            gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
                filter=pulumi.Output.format("{0} AND {1}", latency, rule),
                aggregations=[
                    gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
                        alignment_period="60s",
                        per_series_aligner="ALIGN_DELTA",
                        cross_series_reducer="REDUCE_PERCENTILE_95",
                    )
                ],
                comparison="COMPARISON_GT",
                threshold_value=settings.alert_latency_ms,
                duration="300s",
            ),
        )
        rate = gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
            alignment_period="300s", per_series_aligner="ALIGN_RATE", cross_series_reducer="REDUCE_SUM"
        )
        self._alert(
            "errors",
            f"more than {settings.alert_error_percent} % of answers are 5xx",
            gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
                filter=pulumi.Output.format("{0} AND {1} AND metric.label.response_code_class=500", count, rule),
                aggregations=[rate],
                denominator_filter=pulumi.Output.format("{0} AND {1}", count, rule),
                denominator_aggregations=[
                    gcp.monitoring.AlertPolicyConditionConditionThresholdDenominatorAggregationArgs(
                        alignment_period="300s", per_series_aligner="ALIGN_RATE", cross_series_reducer="REDUCE_SUM"
                    )
                ],
                comparison="COMPARISON_GT",
                threshold_value=settings.alert_error_percent / 100,
                duration="0s",
            ),
        )

    def _unhealthy(self, metric: str) -> None:
        """Alert on many machines that the probes found unhealthy (health_log.py), each counted once.

        As a PromQL condition, which may be about a metric that Monitoring does not know yet; any other is refused for
        the first ten minutes of a log-based metric. Its series are of the resource "global"
        (https://cloud.google.com/monitoring/promql/promql-mapping).
        """
        # Google takes Spot machines back one by one; more than one for each zone in ten minutes is no weather.
        limit = len(self._settings.zone_names)
        title = f"more than {limit} machines turned unhealthy within ten minutes"
        counted = f'increase({metric}{{monitored_resource="global"}}[10m])'
        self._policy(
            "unhealthy",
            title,
            [
                gcp.monitoring.AlertPolicyConditionArgs(
                    display_name=title,
                    condition_prometheus_query_language=gcp.monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
                        query=f"count(sum by (machine) ({counted}) > 0) > {limit}",
                        evaluation_interval="60s",
                        disable_metric_validation=True,
                    ),
                )
            ],
        )

    def _at_maximum(self, groups: Sequence[Group]) -> None:
        """Alert where a group has been as large as it may be: it cannot grow with the load any more."""
        if not groups:
            return
        title = "a group of machines has been at its maximum for half an hour"
        self._policy(
            "at-maximum",
            title,
            [
                gcp.monitoring.AlertPolicyConditionArgs(
                    display_name=f"{group.plan.name} has had {group.plan.max_size} machines for half an hour",
                    condition_threshold=gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
                        filter=pulumi.Output.format(
                            'resource.type="instance_group" AND '
                            'metric.type="compute.googleapis.com/instance_group/size" AND '
                            'resource.label.instance_group_name="{0}"',
                            group.manager.name,
                        ),
                        aggregations=[
                            # A regional group's size comes in one series for each zone.
                            gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
                                alignment_period="300s",
                                per_series_aligner="ALIGN_MEAN",
                                cross_series_reducer="REDUCE_SUM",
                            )
                        ],
                        comparison="COMPARISON_GT",
                        threshold_value=group.plan.max_size - 0.5,
                        duration="1800s",
                    ),
                )
                for group in groups
            ],
        )

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
        self._alert(
            "from-outside",
            "strangers do not get the refusal that they should",
            gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
                filter=pulumi.Output.format(
                    'resource.type="uptime_url" AND metric.type="monitoring.googleapis.com/uptime_check/check_passed" '
                    'AND metric.label.check_id="{0}"',
                    check.uptime_check_id,
                ),
                aggregations=[
                    gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
                        alignment_period="600s",
                        per_series_aligner="ALIGN_NEXT_OLDER",
                        cross_series_reducer="REDUCE_COUNT_FALSE",
                        group_by_fields=["resource.label.project_id", "resource.label.host"],
                    )
                ],
                comparison="COMPARISON_GT",
                # One place of several may have a bad line.
                threshold_value=1,
                duration="0s",
            ),
        )

    def _machine_gone(self, group: pulumi.Input[str]) -> None:
        """Alert where the one machine has not been up for a quarter of an hour; nothing outside can reach it to ask."""
        title = "the machine has been gone for fifteen minutes"
        self._policy(
            "gone",
            title,
            [
                gcp.monitoring.AlertPolicyConditionArgs(
                    display_name=title,
                    condition_absent=gcp.monitoring.AlertPolicyConditionConditionAbsentArgs(
                        filter=pulumi.Output.format(
                            'resource.type="gce_instance" AND metric.type="compute.googleapis.com/instance/uptime" '
                            'AND metric.label.instance_name=starts_with("{0}-")',
                            group,
                        ),
                        aggregations=[
                            gcp.monitoring.AlertPolicyConditionConditionAbsentAggregationArgs(
                                alignment_period="60s",
                                per_series_aligner="ALIGN_RATE",
                                cross_series_reducer="REDUCE_SUM",
                            )
                        ],
                        duration="900s",
                    ),
                )
            ],
        )
