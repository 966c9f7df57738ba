"""When Cloud Build builds: for pushes to the branch that is deployed, for pull requests to it, and by the calendar.

A push that changes documents alone is tested and not deployed; one that changes both is tested twice, at the same time.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra import names
from infra.settings import Settings

FILE = "cloudbuild.yaml"
# For what is done without a new image.
FLEET_FILE = "cloudbuild-fleet.yaml"
# For what changes no image and no machine, and is under test.
DOCS_FILE = "cloudbuild-docs.yaml"
DOCS = ("docs/**", "**/*.md")
# What builds do by themselves, at which hours (UTC): new machines for the same image, with the system's newest release,
# and a look at what was changed by hand.
SCHEDULE = {"renew": "0 4 1,15 * *", "drift": "0 3 * * *"}


class Triggers(pulumi.ComponentResource):
    """The connection to GitHub, the repository and the triggers; `ids` are the triggers'."""

    def __init__(
        self,
        settings: Settings,
        *,
        deployer: pulumi.Input[str],
        previewer: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Register them.

        Args:
            settings: the stack's, with a repository.
            deployer: full name of the account that builds pushes.
            previewer: full name of the account that builds pull requests.
            after: what must be there before; the accounts' rights above all.
        """
        super().__init__("classifier:infra:Triggers", settings.name)
        self._settings = settings
        self._after = after
        self._triggers: list[gcp.cloudbuild.Trigger] = []
        repository = gcp.cloudbuildv2.Repository(
            settings.name,
            location=settings.builds_in,
            parent_connection=self._connection(),
            remote_uri=f"https://github.com/{settings.repository}.git",
            opts=self._child(),
        )
        branch = f"^{settings.branch}$"
        where = {"_STACK": settings.stack, "_REGION": settings.region}
        self._trigger(
            "pipeline",
            deployer,
            {**where, "_ACTION": "deploy", "_REPOSITORY": settings.name, "_ACCOUNT": names.deployer(settings.stack)},
            gcp.cloudbuild.TriggerArgs(
                filename=FILE,
                repository_event_config=gcp.cloudbuild.TriggerRepositoryEventConfigArgs(
                    repository=repository.id, push=gcp.cloudbuild.TriggerRepositoryEventConfigPushArgs(branch=branch)
                ),
                # The next trigger's.
                ignored_files=list(DOCS),
                include_build_logs="INCLUDE_BUILD_LOGS_WITH_STATUS",
            ),
        )
        self._trigger(
            "docs",
            previewer,
            {"_ACCOUNT": names.previewer(settings.stack)},
            gcp.cloudbuild.TriggerArgs(
                filename=DOCS_FILE,
                repository_event_config=gcp.cloudbuild.TriggerRepositoryEventConfigArgs(
                    repository=repository.id, push=gcp.cloudbuild.TriggerRepositoryEventConfigPushArgs(branch=branch)
                ),
                included_files=list(DOCS),
                include_build_logs="INCLUDE_BUILD_LOGS_WITH_STATUS",
            ),
        )
        self._trigger(
            "preview",
            previewer,
            {
                **where,
                "_ACTION": "preview",
                "_ACCOUNT": names.previewer(settings.stack),
                "_REPOSITORY": names.pull_request_repository(settings.stack),
                "_COMMENT_SECRET": settings.comment_secret,
            },
            gcp.cloudbuild.TriggerArgs(
                filename=FILE,
                repository_event_config=gcp.cloudbuild.TriggerRepositoryEventConfigArgs(
                    repository=repository.id,
                    pull_request=gcp.cloudbuild.TriggerRepositoryEventConfigPullRequestArgs(
                        branch=branch,
                        # A stranger's request is built once an owner has read it and comments /gcbrun.
                        comment_control="COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY",
                    ),
                ),
                include_build_logs="INCLUDE_BUILD_LOGS_WITH_STATUS",
            ),
        )
        if settings.maintenance:
            for action, cron in SCHEDULE.items():
                given = {**where, "_ACTION": action, "_ACCOUNT": names.deployer(settings.stack)}
                self._by_the_calendar(action, cron, deployer, given, repository.id)
        self.ids = [trigger.trigger_id for trigger in self._triggers]
        self.register_outputs({})

    def _child(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=[*self._after, *after])

    def _connection(self) -> pulumi.Input[str]:
        """Return the name of the connection to GitHub: the stack's own, or one that a person has made."""
        settings = self._settings
        if not settings.github_installation:
            return settings.connection
        # Google's own account, which speaks with GitHub for every connection of the project. Enabling the API does not
        # make it at once, and a grant to an account that is not there is refused.
        agent = gcp.projects.ServiceIdentity(
            f"{settings.name}-cloud-build",
            project=settings.project,
            service="cloudbuild.googleapis.com",
            opts=self._child(),
        )
        reads = gcp.secretmanager.SecretIamMember(
            f"{settings.name}-connection-reads-token",
            secret_id=settings.github_token_secret,
            role="roles/secretmanager.secretAccessor",
            member=agent.member,
            opts=self._child(),
        )
        return gcp.cloudbuildv2.Connection(
            settings.name,
            name=settings.connection,
            location=settings.builds_in,
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
        self, name: str, account: pulumi.Input[str], substitutions: dict[str, str], event: gcp.cloudbuild.TriggerArgs
    ) -> None:
        """Register a trigger; `event` says when it builds what."""
        settings = self._settings
        event.location = settings.builds_in
        event.description = f"{name} of the stack {settings.stack}"
        event.service_account = account
        given = {"_MIRROR": f"{settings.mirror_address}/" if settings.mirror else "", **substitutions}
        event.substitutions = {key: value for key, value in given.items() if value}
        trigger = gcp.cloudbuild.Trigger(f"{settings.name}-{name}", event, opts=self._child())
        self._triggers.append(trigger)

    def _by_the_calendar(
        self,
        action: str,
        cron: str,
        account: pulumi.Input[str],
        substitutions: dict[str, str],
        repository: pulumi.Input[str],
    ) -> None:
        """Start a build by a message that Cloud Scheduler sends: nobody needs the right to start builds for it."""
        settings = self._settings
        topic = gcp.pubsub.Topic(f"{settings.name}-{action}", opts=self._child())
        self._trigger(
            action,
            account,
            substitutions,
            gcp.cloudbuild.TriggerArgs(
                pubsub_config=gcp.cloudbuild.TriggerPubsubConfigArgs(topic=topic.id),
                source_to_build=gcp.cloudbuild.TriggerSourceToBuildArgs(
                    repository=repository, ref=f"refs/heads/{settings.branch}", repo_type="GITHUB"
                ),
                git_file_source=gcp.cloudbuild.TriggerGitFileSourceArgs(
                    path=FLEET_FILE, repository=repository, revision=f"refs/heads/{settings.branch}", repo_type="GITHUB"
                ),
            ),
        )
        gcp.cloudscheduler.Job(
            f"{settings.name}-{action}",
            region=settings.builds_in,
            description=f"{action} of the stack {settings.stack}",
            schedule=cron,
            time_zone="Etc/UTC",
            pubsub_target=gcp.cloudscheduler.JobPubsubTargetArgs(
                topic_name=topic.id, data=base64.b64encode(action.encode()).decode()
            ),
            opts=self._child(),
        )
