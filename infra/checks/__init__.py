"""What is wrong with a configuration: a sentence a mistake, which begins with the key and ends with the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.checks import access, delivery, machines, place

if TYPE_CHECKING:
    from infra.settings import Settings


def mistakes(settings: Settings) -> list[str]:
    """Return a sentence for everything that is wrong, in the order in which a person would set it."""
    found = list(place.place(settings))
    checks = [
        access.allowlist,
        # What a project and a region are part of can be judged only when these are right.
        *([] if found else [place.image, machines.zones]),
        machines.machine,
        machines.sizes,
        machines.time,
        machines.rate,
        place.network,
        access.https,
        access.sign_in,
        access.waf,
        access.alerts,
        delivery.pipeline,
    ]
    return found + [sentence for check in checks for sentence in check(settings)]
