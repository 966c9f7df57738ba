"""When the alerts of monitoring.py fire: a part of it, as the conditions that Cloud Monitoring takes."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp
from pulumi_gcp.monitoring import AlertPolicyConditionArgs as Condition
from pulumi_gcp.monitoring import AlertPolicyConditionConditionAbsentAggregationArgs as AbsentAggregation
from pulumi_gcp.monitoring import AlertPolicyConditionConditionThresholdAggregationArgs as Aggregation
from pulumi_gcp.monitoring import (
    AlertPolicyConditionConditionThresholdDenominatorAggregationArgs as DenominatorAggregation,
)

_LATENCY = 'metric.type="loadbalancing.googleapis.com/https/backend_latencies"'
_COUNT = 'metric.type="loadbalancing.googleapis.com/https/request_count"'
_RULE = 'resource.type="https_lb_rule" AND resource.label.url_map_name="{0}"'


def slow(title: str, url_map: pulumi.Input[str], limit_ms: int) -> Condition:
    """Return the condition that the 95th percentile of the machines' latency is above a limit for five minutes."""
    return _threshold(
        title,
        pulumi.Output.format(f"{_LATENCY} AND {_RULE}", url_map),
        Aggregation(
            alignment_period="60s", per_series_aligner="ALIGN_DELTA", cross_series_reducer="REDUCE_PERCENTILE_95"
        ),
        limit_ms,
        duration="300s",
    )


def errors(title: str, url_map: pulumi.Input[str], limit_percent: int) -> Condition:
    """Return the condition that more than a share of the answers of five minutes are 5xx."""
    return Condition(
        display_name=title,
        condition_threshold=gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
            filter=pulumi.Output.format(f"{_COUNT} AND {_RULE} AND metric.label.response_code_class=500", url_map),
            aggregations=[
                Aggregation(alignment_period="300s", per_series_aligner="ALIGN_RATE", cross_series_reducer="REDUCE_SUM")
            ],
            denominator_filter=pulumi.Output.format(f"{_COUNT} AND {_RULE}", url_map),
            denominator_aggregations=[
                DenominatorAggregation(
                    alignment_period="300s", per_series_aligner="ALIGN_RATE", cross_series_reducer="REDUCE_SUM"
                )
            ],
            comparison="COMPARISON_GT",
            threshold_value=limit_percent / 100,
            duration="0s",
        ),
    )


def unhealthy(title: str, metric: str, limit: int) -> Condition:
    """Return the condition that the probes found more than so many machines unhealthy within ten minutes.

    In PromQL, which may be about a metric that Monitoring does not know yet; any other condition is refused for the
    first ten minutes of a log-based metric. Its series are of the resource "global"
    (https://cloud.google.com/monitoring/promql/promql-mapping). Machines are counted, not their turns.
    """
    turns = f'increase({metric}{{monitored_resource="global"}}[10m])'
    return Condition(
        display_name=title,
        condition_prometheus_query_language=gcp.monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
            query=f"count(sum by (machine) ({turns}) > 0) > {limit}",
            evaluation_interval="60s",
            disable_metric_validation=True,
        ),
    )


def at_maximum(title: str, group: pulumi.Input[str], max_size: int) -> Condition:
    """Return the condition that a group has had its largest size for half an hour."""
    size = 'resource.type="instance_group" AND metric.type="compute.googleapis.com/instance_group/size"'
    return _threshold(
        title,
        pulumi.Output.format(size + ' AND resource.label.instance_group_name="{0}"', group),
        # A regional group's size may come in one series for each zone.
        Aggregation(alignment_period="300s", per_series_aligner="ALIGN_MEAN", cross_series_reducer="REDUCE_SUM"),
        max_size - 0.5,
        duration="1800s",
    )


def not_refused(title: str, check: pulumi.Input[str]) -> Condition:
    """Return the condition that a check from outside gets another answer than it should, in more than one place."""
    passed = 'resource.type="uptime_url" AND metric.type="monitoring.googleapis.com/uptime_check/check_passed"'
    return _threshold(
        title,
        pulumi.Output.format(passed + ' AND metric.label.check_id="{0}"', check),
        Aggregation(
            alignment_period="600s",
            per_series_aligner="ALIGN_NEXT_OLDER",
            cross_series_reducer="REDUCE_COUNT_FALSE",
            group_by_fields=["resource.label.project_id", "resource.label.host"],
        ),
        # One place of several may have a bad line.
        1,
        duration="0s",
    )


def gone(title: str, base_name: pulumi.Input[str]) -> Condition:
    """Return the condition that no machine whose name begins so has been up for a quarter of an hour."""
    uptime = 'resource.type="gce_instance" AND metric.type="compute.googleapis.com/instance/uptime"'
    return Condition(
        display_name=title,
        condition_absent=gcp.monitoring.AlertPolicyConditionConditionAbsentArgs(
            filter=pulumi.Output.format(uptime + ' AND metric.label.instance_name=starts_with("{0}-")', base_name),
            aggregations=[
                AbsentAggregation(
                    alignment_period="60s", per_series_aligner="ALIGN_RATE", cross_series_reducer="REDUCE_SUM"
                )
            ],
            duration="900s",
        ),
    )


def _threshold(
    title: str, metric: pulumi.Output[str], aggregation: Aggregation, above: float, duration: str
) -> Condition:
    return Condition(
        display_name=title,
        condition_threshold=gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
            filter=metric,
            aggregations=[aggregation],
            comparison="COMPARISON_GT",
            threshold_value=above,
            duration=duration,
        ),
    )
