"""What the stack costs in a month, by parts."""

from __future__ import annotations

from typing import Any

from infra import prices
from infra.settings import Settings


def estimate(settings: Settings) -> dict[str, Any]:
    """Return the estimated cost of a month in US dollars, by parts."""
    del settings
    return {"prices": prices.DATE}
