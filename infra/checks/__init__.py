"""What is wrong with a configuration: a sentence a mistake, which begins with the key and ends with the remedy."""

from __future__ import annotations

from infra.checks import access, delivery, location, machines
from infra.settings import Settings


def mistakes(settings: Settings) -> list[str]:
    """Return a sentence for everything that is wrong, in the order in which a person would set it."""
    sentences = list(location.project_and_region(settings))
    checks = [
        access.allowlist,
        # What a project and a region are part of can be judged only when these are right.
        *([] if sentences else [location.image, machines.zones]),
        machines.machine,
        machines.sizes,
        machines.time,
        machines.rate,
        machines.renewal,
        location.network,
        access.https,
        access.certificates,
        access.sign_in,
        access.waf,
        access.alerts,
        delivery.pipeline,
    ]
    return sentences + [sentence for check in checks for sentence in check(settings)]
