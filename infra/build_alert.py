"""Who is told when a build fails: Cloud Build has no metric of them, so the last words in its log are watched."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra import names
from infra.settings import Settings

_TITLE = "a build failed"
# The last lines of a build that failed or took too long, and our own steps' last sentence (pipeline/errors.py).
_FAILURE = "^(ERROR: (build step|context deadline)|TIMEOUT)|: pipeline: "


class BuildAlert(pulumi.ComponentResource):
    """An alert on the log of the stack's own triggers' builds."""

    def __init__(
        self,
        settings: Settings,
        *,
        triggers: Sequence[pulumi.Input[str]],
        channels: Sequence[pulumi.Input[str]],
        after: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__("classifier:infra:BuildAlert", settings.name)
        ids = pulumi.Output.all(*triggers).apply(
            lambda identifiers: " OR ".join(f'"{identifier}"' for identifier in identifiers)
        )
        handbook = names.handbook("build-failed", settings.repository, settings.branch)
        gcp.monitoring.AlertPolicy(
            f"{settings.name}-build-failed",
            display_name=f"{settings.name}: {_TITLE}",
            combiner="OR",
            conditions=[
                gcp.monitoring.AlertPolicyConditionArgs(
                    display_name=_TITLE,
                    condition_matched_log=gcp.monitoring.AlertPolicyConditionConditionMatchedLogArgs(
                        filter=pulumi.Output.format(
                            'resource.type="build" AND resource.labels.build_trigger_id=({0}) AND textPayload=~"{1}"',
                            ids,
                            _FAILURE,
                        )
                    ),
                )
            ],
            notification_channels=list(channels),
            documentation=gcp.monitoring.AlertPolicyDocumentationArgs(
                content=f"{_TITLE}. {handbook}", mime_type="text/markdown"
            ),
            alert_strategy=gcp.monitoring.AlertPolicyAlertStrategyArgs(
                # One message for the several lines of one build.
                notification_rate_limit=gcp.monitoring.AlertPolicyAlertStrategyNotificationRateLimitArgs(
                    period="1800s"
                ),
                auto_close="86400s",
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.register_outputs({})
