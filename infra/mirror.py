"""A mirror of Docker Hub in the project: builds neither wait for Hub's limits nor fail with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_gcp as gcp

from infra import names
from infra.settings import Settings


class Mirror(pulumi.ComponentResource):
    """A remote repository, which fetches what it lacks, and who may read it."""

    def __init__(
        self, settings: Settings, *, readers: Mapping[str, pulumi.Input[str]], after: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("classifier:infra:Mirror", settings.name)
        repository = gcp.artifactregistry.Repository(
            f"{settings.name}-docker-hub",
            repository_id=names.mirror(settings.stack),
            location=settings.region,
            format="DOCKER",
            mode="REMOTE_REPOSITORY",
            description="Images of Docker Hub, kept for builds",
            remote_repository_config=gcp.artifactregistry.RepositoryRemoteRepositoryConfigArgs(
                docker_repository=gcp.artifactregistry.RepositoryRemoteRepositoryConfigDockerRepositoryArgs(
                    public_repository="DOCKER_HUB"
                )
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.readers = [
            gcp.artifactregistry.RepositoryIamMember(
                f"{settings.name}-{who}-reads-docker-hub",
                location=settings.region,
                repository=repository.name,
                role="roles/artifactregistry.reader",
                member=member,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for who, member in readers.items()
        ]
        self.register_outputs({})
