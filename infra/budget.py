"""The budget: who is told when the project is about to cost more than it should. It stops nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings


class Budget(pulumi.ComponentResource):
    """A monthly budget of this project; a foundation, since the pipeline may not touch billing."""

    def __init__(
        self, settings: Settings, *, channels: Sequence[pulumi.Input[str]], after: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("classifier:infra:Budget", settings.name)
        root = pulumi.ResourceOptions(parent=self, depends_on=after)
        # The billing API wants to know which project pays for being asked.
        provider = gcp.Provider(
            f"{settings.name}-billing",
            project=settings.project,
            billing_project=settings.project,
            user_project_override=True,
            opts=root,
        )
        project = gcp.organizations.get_project_output(
            project_id=settings.project, opts=pulumi.InvokeOutputOptions(depends_on=list(after))
        )
        gcp.billing.Budget(
            settings.name,
            billing_account=settings.billing_account,
            display_name=settings.name,
            budget_filter=gcp.billing.BudgetBudgetFilterArgs(
                projects=[pulumi.Output.concat("projects/", project.number)]
            ),
            # Without a currency: another one than the billing account's is refused.
            amount=gcp.billing.BudgetAmountArgs(
                specified_amount=gcp.billing.BudgetAmountSpecifiedAmountArgs(units=str(settings.monthly_budget))
            ),
            threshold_rules=[
                gcp.billing.BudgetThresholdRuleArgs(threshold_percent=0.5),
                gcp.billing.BudgetThresholdRuleArgs(threshold_percent=0.9),
                gcp.billing.BudgetThresholdRuleArgs(threshold_percent=1.0, spend_basis="FORECASTED_SPEND"),
            ],
            all_updates_rule=gcp.billing.BudgetAllUpdatesRuleArgs(
                monitoring_notification_channels=list(channels), disable_default_iam_recipients=False
            )
            if channels
            else None,
            opts=pulumi.ResourceOptions.merge(root, pulumi.ResourceOptions(provider=provider)),
        )
        self.register_outputs({})
