"""Where the images live, with who may read them: the machines, nobody else by this stack."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra.settings import Settings

_UNTAGGED_DAYS = 30
_KEPT_VERSIONS = 10
# The layers of earlier builds, among them PyTorch's gigabytes, are tagged (pipeline/build.sh) and soon worthless.
_CACHE_DAYS = 30
_CACHE_PREFIX = "cache/"


class Registry(pulumi.ComponentResource):
    """The repository. Tagged images are kept for ever: a machine that heals in a year must still find its digest."""

    def __init__(self, settings: Settings, *, reader: pulumi.Input[str], after: Sequence[pulumi.Resource]) -> None:
        super().__init__("classifier:infra:Registry", settings.name)
        self.repository = gcp.artifactregistry.Repository(
            f"{settings.name}-images",
            repository_id=settings.name,
            location=settings.region,
            format="DOCKER",
            description="Images of the classifier",
            cleanup_policies=[
                gcp.artifactregistry.RepositoryCleanupPolicyArgs(
                    id="delete-old-untagged",
                    action="DELETE",
                    condition=gcp.artifactregistry.RepositoryCleanupPolicyConditionArgs(
                        tag_state="UNTAGGED", older_than=f"{_UNTAGGED_DAYS * 86400}s"
                    ),
                ),
                gcp.artifactregistry.RepositoryCleanupPolicyArgs(
                    id="delete-old-caches",
                    action="DELETE",
                    condition=gcp.artifactregistry.RepositoryCleanupPolicyConditionArgs(
                        tag_state="ANY",
                        older_than=f"{_CACHE_DAYS * 86400}s",
                        package_name_prefixes=[_CACHE_PREFIX],
                    ),
                ),
                gcp.artifactregistry.RepositoryCleanupPolicyArgs(
                    id="keep-newest",
                    action="KEEP",
                    most_recent_versions=gcp.artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs(
                        # Of the image itself: a policy that keeps wins over those that delete.
                        keep_count=_KEPT_VERSIONS,
                        package_name_prefixes=["classifier"],
                    ),
                ),
            ],
            # Every way back is in here, and each machine that heals needs its image again.
            opts=pulumi.ResourceOptions(parent=self, depends_on=after, protect=True),
        )
        self.reader = gcp.artifactregistry.RepositoryIamMember(
            f"{settings.name}-machines-read-images",
            location=self.repository.location,
            repository=self.repository.name,
            role="roles/artifactregistry.reader",
            member=reader,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
