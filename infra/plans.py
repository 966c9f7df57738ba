"""The groups of machines that a stack has: how many machines, of which kind, and at which load they grow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from infra.settings import Settings

# Of a group's largest size, what an update adds at once where nothing else is set: so it takes four batches at most.
_SURGE_SHARE = 0.25
# A batch of an update: 60 to 90 s to start, the draining, up to 60 s until the balancer has let go, 25 s to stop
# (https://cloud.google.com/compute/docs/instance-groups/updating-migs; assumed).
BATCH_SEC = 180


@dataclass(frozen=True)
class GroupPlan:
    """One group of machines; `surge` is the number that an update may add at once."""

    name: str
    spot: bool
    min_size: int
    max_size: int
    scale_at: float
    surge: int

    @property
    def update_sec(self) -> int:
        """Return the seconds that an update of the largest group takes, when all goes well."""
        return math.ceil(self.max_size / max(1, self.surge)) * BATCH_SEC


def plans(settings: Settings) -> tuple[GroupPlan, ...]:
    """Return the groups of machines to make.

    The on-demand group grows at a higher load than the Spot group, so that it grows only where Spot machines cannot be
    had.
    """
    if settings.single:
        return (GroupPlan("single", settings.on_demand_max == 0, 1, 1, 1.0, 0),)
    spot_scale_at = settings.scale_at_percent / 100
    # Halfway between the Spot group's mark and full.
    later = round((spot_scale_at + 1) / 2 if settings.spot_max else spot_scale_at, 2)
    sizes = (
        ("on-demand", False, settings.on_demand_min, settings.on_demand_max, later),
        ("spot", True, settings.spot_min, settings.spot_max, spot_scale_at),
    )
    return tuple(
        GroupPlan(name, spot, low, high, scale_at, _surge(settings, high))
        for name, spot, low, high, scale_at in sizes
        if high
    )


def _surge(settings: Settings, max_size: int) -> int:
    if settings.max_surge:
        return settings.max_surge
    return max(len(settings.zone_names), math.ceil(max_size * _SURGE_SHARE))
