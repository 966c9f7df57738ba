"""The metric that counts machines that the probes found unhealthy, from the probes' own log.

No metric of Google's says how many machines a balancer finds healthy. It is one of the foundations because Monitoring
knows a new log-based metric only after some ten minutes, and because the pipeline's account may not make one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings


class HealthLog(pulumi.ComponentResource):
    """The metric; `query_name` is its name in PromQL."""

    def __init__(self, settings: Settings, *, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:HealthLog", settings.name)
        # Without characters that PromQL's names lack: it writes each as "_", and "/" after the domain as ":"
        # (https://cloud.google.com/monitoring/promql/promql-mapping).
        name = f"{settings.name}-turned-unhealthy".replace("-", "_")
        gcp.logging.Metric(
            f"{settings.name}-turned-unhealthy",
            name=name,
            description="Machines that the balancer's probes found unhealthy",
            # Only the readiness check writes a log, so that a machine counts once.
            filter=(
                'resource.type="gce_instance_group" '
                'logName:"compute.googleapis.com%2Fhealthchecks" '
                'jsonPayload.healthCheckProbeResult.healthState="UNHEALTHY" '
                f'resource.labels.instance_group_name:"{settings.name}-"'
            ),
            # The series are written as the resource "global", which has no label of a group or a machine.
            label_extractors={
                "group": "EXTRACT(resource.labels.instance_group_name)",
                "machine": "EXTRACT(jsonPayload.healthCheckProbeResult.ipAddress)",
            },
            metric_descriptor=gcp.logging.MetricMetricDescriptorArgs(
                metric_kind="DELTA",
                value_type="INT64",
                labels=[
                    gcp.logging.MetricMetricDescriptorLabelArgs(key=key, value_type="STRING")
                    for key in ("group", "machine")
                ],
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.query_name = f"logging_googleapis_com:user_{name}"
        self.register_outputs({})
