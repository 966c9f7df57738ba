"""What people look at and what wakes them: the dashboard, the alerts, the check from outside, the budget."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra import dashboard
from infra.settings import Settings

_RUNBOOK = "docs/operations.md says what it means and what to do."


class Monitoring(pulumi.ComponentResource):
    """The dashboard and the alerts of a fleet or of one machine."""

    def __init__(
        self,
        settings: Settings,
        *,
        groups: Sequence[pulumi.Input[str]],
        url_map: pulumi.Input[str] | None = None,
        address: pulumi.Input[str] | None = None,
        after: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__("classifier:infra:Monitoring", settings.name)
        self._settings = settings
        self._root = pulumi.ResourceOptions(parent=self, depends_on=after)
        self._channels = [
            gcp.monitoring.NotificationChannel(
                f"{settings.name}-{email}",
                type="email",
                display_name=email,
                labels={"email_address": email},
                opts=self._root,
            ).name
            for email in settings.alert_emails
        ]
        if url_map is not None and address is not None:
            document = pulumi.Output.all(url_map, list(groups)).apply(lambda both: dashboard.of_fleet(both[0], both[1]))
            self._requests(url_map)
            self._unhealthy()
            self._from_outside(address)
        else:
            document = pulumi.Output.from_input(groups[0]).apply(dashboard.of_single)
            self._machine_gone(groups[0])
        self.dashboard = gcp.monitoring.Dashboard(
            settings.name, dashboard_json=pulumi.Output.json_dumps(document), opts=self._root
        )
        if settings.monthly_budget_usd:
            self._budget()
        self.register_outputs({})

    def _alert(
        self, name: str, title: str, condition: gcp.monitoring.AlertPolicyConditionConditionThresholdArgs
    ) -> None:
        self._policy(
            name, title, gcp.monitoring.AlertPolicyConditionArgs(display_name=title, condition_threshold=condition)
        )

    def _policy(self, name: str, title: str, condition: gcp.monitoring.AlertPolicyConditionArgs) -> None:
        gcp.monitoring.AlertPolicy(
            f"{self._settings.name}-{name}",
            display_name=f"{self._settings.name}: {title}",
            combiner="OR",
            conditions=[condition],
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

    def _unhealthy(self) -> None:
        """Count the probes' own log: no metric of Google's says how many machines a balancer finds healthy."""
        turned = gcp.logging.Metric(
            f"{self._settings.name}-turned-unhealthy",
            description="Machines that the probes found unhealthy",
            filter=(
                'resource.type="gce_instance_group" '
                'logName:"compute.googleapis.com%2Fhealthchecks" '
                'jsonPayload.healthCheckProbeResult.healthState="UNHEALTHY" '
                f'resource.labels.instance_group_name:"{self._settings.name}-"'
            ),
            metric_descriptor=gcp.logging.MetricMetricDescriptorArgs(metric_kind="DELTA", value_type="INT64"),
            opts=self._root,
        )
        # A Spot machine that Google takes back counts once; more than one for each zone in ten minutes is no weather.
        limit = len(self._settings.zone_names)
        self._alert(
            "unhealthy",
            f"more than {limit} machines turned unhealthy within ten minutes",
            gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
                filter=pulumi.Output.format(
                    'resource.type="gce_instance_group" AND metric.type="logging.googleapis.com/user/{0}"', turned.name
                ),
                aggregations=[
                    gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
                        alignment_period="600s", per_series_aligner="ALIGN_SUM", cross_series_reducer="REDUCE_SUM"
                    )
                ],
                comparison="COMPARISON_GT",
                threshold_value=limit,
                duration="0s",
            ),
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
                            alignment_period="60s", per_series_aligner="ALIGN_RATE", cross_series_reducer="REDUCE_SUM"
                        )
                    ],
                    duration="900s",
                ),
            ),
        )

    def _budget(self) -> None:
        settings = self._settings
        # The billing API wants to know which project pays for being asked.
        provider = gcp.Provider(
            f"{settings.name}-billing",
            project=settings.project,
            billing_project=settings.project,
            user_project_override=True,
            opts=self._root,
        )
        project = gcp.organizations.get_project_output(
            project_id=settings.project, opts=pulumi.InvokeOutputOptions(depends_on=self._root.depends_on)
        )
        gcp.billing.Budget(
            settings.name,
            billing_account=settings.billing_account,
            display_name=settings.name,
            budget_filter=gcp.billing.BudgetBudgetFilterArgs(
                projects=[pulumi.Output.concat("projects/", project.number)]
            ),
            amount=gcp.billing.BudgetAmountArgs(
                specified_amount=gcp.billing.BudgetAmountSpecifiedAmountArgs(
                    currency_code="USD", units=str(settings.monthly_budget_usd)
                )
            ),
            threshold_rules=[
                gcp.billing.BudgetThresholdRuleArgs(threshold_percent=0.5),
                gcp.billing.BudgetThresholdRuleArgs(threshold_percent=0.9),
                gcp.billing.BudgetThresholdRuleArgs(threshold_percent=1.0, spend_basis="FORECASTED_SPEND"),
            ],
            all_updates_rule=gcp.billing.BudgetAllUpdatesRuleArgs(
                monitoring_notification_channels=self._channels, disable_default_iam_recipients=False
            )
            if self._channels
            else None,
            opts=pulumi.ResourceOptions.merge(self._root, pulumi.ResourceOptions(provider=provider)),
        )
