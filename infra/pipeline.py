"""Who builds and deploys: Cloud Build's two accounts, and all that each may do; when they do is in triggers.py.

Two accounts, because a pull request is code that nobody has agreed to yet, and it chooses what its own build runs. The
one of the main branch deploys; the other looks, and writes only to a repository of its own, from which no machine
reads.

Neither may change who may do what, and neither may touch the foundations (APIs, accounts, roles, addresses, network,
DNS, registry, the metric of the probes' log, certificates that DNS proves, budget, this file): a push cannot widen its
own rights. A person's `make up` makes such changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra import names
from infra.settings import Settings

# What a rollout changes: templates and groups of machines, the balancer, firewall and Cloud Armor, the dashboard and
# the alerts; and the log of the build itself.
DEPLOYER_ROLES = (
    "roles/compute.instanceAdmin.v1",
    "roles/compute.loadBalancerAdmin",
    "roles/compute.securityAdmin",
    "roles/logging.logWriter",
    "roles/monitoring.alertPolicyEditor",
    "roles/monitoring.dashboardEditor",
    "roles/monitoring.notificationChannelEditor",
    "roles/monitoring.uptimeCheckConfigEditor",
)
# The provider asks for the project's regions before a preview.
PREVIEWER_ROLES = ("roles/compute.viewer", "roles/logging.logWriter")
_PULL_REQUEST_DAYS = 7


class Pipeline(pulumi.ComponentResource):
    """Cloud Build's accounts and their rights; nothing may build before it has all of them."""

    def __init__(
        self,
        settings: Settings,
        *,
        machines_account: pulumi.Input[str],
        images: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Register accounts and grants.

        Args:
            settings: the stack's.
            machines_account: full name of the machines' account, which whoever starts machines must be allowed to use.
            images: name of the repository for images.
            after: what must be there before.
        """
        super().__init__("classifier:infra:Pipeline", settings.name)
        self._settings = settings
        self._after = after
        self.rights: list[pulumi.Resource] = []
        deployer, previewer = names.deployer(settings.stack), names.previewer(settings.stack)
        self.deployer = self._account("pipeline", deployer, "Cloud Build: deploys the main branch")
        self.previewer = self._account("preview", previewer, "Cloud Build: previews pull requests, changes nothing")
        self._may_in_project(self.deployer, "pipeline", DEPLOYER_ROLES)
        self._may_in_project(self.previewer, "preview", PREVIEWER_ROLES)
        self._may_use_state()
        self._may_push(images)
        self.rights.append(
            gcp.serviceaccount.IAMMember(
                f"{settings.name}-pipeline-uses-machines-account",
                service_account_id=machines_account,
                role="roles/iam.serviceAccountUser",
                member=self.deployer.member,
                opts=self._child(),
            )
        )
        if settings.comment_secret:
            self._may_comment()
        self.register_outputs({})

    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=self._after)

    def _account(self, role: str, account_id: str, text: str) -> gcp.serviceaccount.Account:
        return gcp.serviceaccount.Account(
            f"{self._settings.name}-{role}", account_id=account_id, display_name=text, opts=self._child()
        )

    def _may_in_project(self, account: gcp.serviceaccount.Account, who: str, roles: Sequence[str]) -> None:
        for role in roles:
            self.rights.append(
                gcp.projects.IAMMember(
                    f"{self._settings.name}-{who}-{role.removeprefix('roles/')}",
                    project=self._settings.project,
                    role=role,
                    member=account.member,
                    opts=self._child(),
                )
            )

    def _may_use_state(self) -> None:
        """Pulumi's bucket and key, which `make bootstrap` made: they are older than this stack.

        The bucket holds the state of every stack of the project, so that each grant has a condition on the objects'
        names: who builds a pull request for one stack reads nothing of another. What is in the bucket may be listed.
        """
        settings = self._settings
        bucket = settings.state_bucket
        own = names.state_objects(settings.stack)
        # What Pulumi looks at first, of any stack; and the files that `make submit` hands to a build.
        common = (".pulumi/meta.yaml",)
        for who, account, grants in (
            ("pipeline", self.deployer, {"objectUser": own, "objectViewer": (*common, names.SUBMITTED_SOURCES)}),
            ("preview", self.previewer, {"objectViewer": (*own, *common)}),
        ):
            for role, prefixes in grants.items():
                self._may_in_bucket(f"{who}-state-{role}", bucket, f"roles/storage.{role}", account, prefixes)
            self._may_in_bucket(f"{who}-state-names", bucket, "roles/storage.legacyBucketReader", account)
            # Secrets are encrypted with a data key; Cloud KMS is asked to open that, and never to make another.
            self.rights.append(
                gcp.kms.CryptoKeyIAMMember(
                    f"{settings.name}-{who}-secrets",
                    crypto_key_id=settings.state_key,
                    role="roles/cloudkms.cryptoKeyDecrypter",
                    member=account.member,
                    opts=self._child(),
                )
            )

    def _may_in_bucket(
        self, name: str, bucket: str, role: str, account: gcp.serviceaccount.Account, prefixes: Sequence[str] = ()
    ) -> None:
        # A condition has twelve logical operators at most.
        objects = " || ".join(
            f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/{prefix}")' for prefix in prefixes
        )
        self.rights.append(
            gcp.storage.BucketIAMMember(
                f"{self._settings.name}-{name}",
                bucket=bucket,
                role=role,
                member=account.member,
                condition=gcp.storage.BucketIAMMemberConditionArgs(
                    title=f"{self._settings.name}: {name}", expression=objects
                )
                if objects
                else None,
                opts=self._child(),
            )
        )

    def _may_push(self, images: pulumi.Input[str]) -> None:
        settings = self._settings
        requests = gcp.artifactregistry.Repository(
            f"{settings.name}-pull-requests",
            repository_id=names.pull_request_repository(settings.stack),
            location=settings.region,
            format="DOCKER",
            description="Images of pull requests: tested, never deployed, soon forgotten",
            cleanup_policies=[
                gcp.artifactregistry.RepositoryCleanupPolicyArgs(
                    id="delete-old",
                    action="DELETE",
                    condition=gcp.artifactregistry.RepositoryCleanupPolicyConditionArgs(
                        tag_state="ANY", older_than=f"{_PULL_REQUEST_DAYS * 86400}s"
                    ),
                )
            ],
            opts=self._child(),
        )
        for name, repository, role, account in (
            ("pipeline-pushes", images, "writer", self.deployer),
            # The layers that the main branch has built already.
            ("preview-reads-layers", images, "reader", self.previewer),
            ("preview-pushes", requests.name, "writer", self.previewer),
        ):
            self.rights.append(
                gcp.artifactregistry.RepositoryIamMember(
                    f"{settings.name}-{name}",
                    location=settings.region,
                    repository=repository,
                    role=f"roles/artifactregistry.{role}",
                    member=account.member,
                    opts=self._child(),
                )
            )

    def _may_comment(self) -> None:
        self.rights.append(
            gcp.secretmanager.SecretIamMember(
                f"{self._settings.name}-preview-comments",
                secret_id=self._settings.comment_secret,
                role="roles/secretmanager.secretAccessor",
                member=self.previewer.member,
                opts=self._child(),
            )
        )
