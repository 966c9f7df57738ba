"""When Cloud Build builds: for pushes to the branch that is deployed, and for pull requests to it."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings


class Triggers(pulumi.ComponentResource):
    """The connection to GitHub, the repository, and a trigger for each of the two accounts."""

    def __init__(
        self,
        settings: Settings,
        *,
        deployer: pulumi.Input[str],
        previewer: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Make them.

        Args:
            settings: the stack's, with a repository.
            deployer: full name of the account that builds pushes.
            previewer: full name of the account that builds pull requests.
            after: what must be there before; the accounts' rights above all.
        """
        super().__init__("classifier:infra:Triggers", settings.name)
        self._settings = settings
        self._after = after
        repository = gcp.cloudbuildv2.Repository(
            settings.name,
            location=settings.region,
            parent_connection=self._connection(),
            remote_uri=f"https://github.com/{settings.repository}.git",
            opts=self._child(),
        )
        branch = f"^{settings.branch}$"
        self._trigger(
            "pipeline",
            deployer,
            gcp.cloudbuild.TriggerRepositoryEventConfigArgs(
                repository=repository.id, push=gcp.cloudbuild.TriggerRepositoryEventConfigPushArgs(branch=branch)
            ),
            {"_ACTION": "deploy", "_REPOSITORY": settings.name},
        )
        self._trigger(
            "preview",
            previewer,
            gcp.cloudbuild.TriggerRepositoryEventConfigArgs(
                repository=repository.id,
                pull_request=gcp.cloudbuild.TriggerRepositoryEventConfigPullRequestArgs(
                    branch=branch,
                    # A stranger's request is built once an owner has read it and comments /gcbrun.
                    comment_control="COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY",
                ),
            ),
            {
                "_ACTION": "preview",
                "_REPOSITORY": f"{settings.name}-pull-requests",
                "_COMMENT_SECRET": settings.comment_secret,
            },
        )
        self.register_outputs({})

    def _child(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=[*self._after, *after])

    def _connection(self) -> pulumi.Input[str]:
        """Return the name of the connection to GitHub: the stack's own, or one that a person has made."""
        settings = self._settings
        if not settings.github_installation:
            return settings.connection
        number = gcp.organizations.get_project_output(project_id=settings.project).number
        reads = gcp.secretmanager.SecretIamMember(
            f"{settings.name}-connection-reads-token",
            secret_id=settings.github_token_secret,
            role="roles/secretmanager.secretAccessor",
            # Google's own account, which speaks with GitHub for every connection of the project.
            member=pulumi.Output.format("serviceAccount:service-{0}@gcp-sa-cloudbuild.iam.gserviceaccount.com", number),
            opts=self._child(),
        )
        return gcp.cloudbuildv2.Connection(
            settings.name,
            name=settings.connection,
            location=settings.region,
            github_config=gcp.cloudbuildv2.ConnectionGithubConfigArgs(
                app_installation_id=settings.github_installation,
                authorizer_credential=gcp.cloudbuildv2.ConnectionGithubConfigAuthorizerCredentialArgs(
                    oauth_token_secret_version=(
                        f"projects/{settings.project}/secrets/{settings.github_token_secret}/versions/latest"
                    )
                ),
            ),
            opts=self._child(reads),
        ).name

    def _trigger(
        self,
        kind: str,
        account: pulumi.Input[str],
        event: gcp.cloudbuild.TriggerRepositoryEventConfigArgs,
        substitutions: dict[str, str],
    ) -> None:
        settings = self._settings
        gcp.cloudbuild.Trigger(
            f"{settings.name}-{kind}",
            location=settings.region,
            description=f"{kind} of the stack {settings.stack}",
            filename="cloudbuild.yaml",
            repository_event_config=event,
            # A text changes no image and no machine.
            ignored_files=["docs/**", "**/*.md"],
            include_build_logs="INCLUDE_BUILD_LOGS_WITH_STATUS",
            service_account=account,
            substitutions={
                "_STACK": settings.stack,
                "_REGION": settings.region,
                "_ACCOUNT": f"{kind}-{settings.stack}",
                **{name: value for name, value in substitutions.items() if value},
            },
            opts=self._child(),
        )
