"""Google's APIs that the stack uses, enabled before anything else and never disabled.

Disabling one on destroy would take it from everything else in the project. An API that has just been enabled does not
answer for a while, and the provider does not wait for it (403): `make up` enables them and waits before the program
runs. They stand here so that a bare `pulumi up` enables them too.
"""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra import api_names
from infra.settings import Settings


class Apis(pulumi.ComponentResource):
    """The enabled APIs; every root resource of the other components depends on `enabled`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("classifier:infra:Apis", settings.name)
        self.enabled = [
            gcp.projects.Service(
                f"{settings.name}-{name}",
                service=f"{name}.googleapis.com",
                disable_on_destroy=False,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for name in api_names.needed(settings)
        ]
        self.register_outputs({})
