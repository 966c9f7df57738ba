"""What must hold for every stack, as functions of a run; each is named for the outage that it prevents.

An invariant yields a sentence for each violation. Importing this package fills `INVARIANTS`, by name.
"""

from __future__ import annotations

from tests.infra.invariants import access, balancer, healing, network, observing, privilege, rollout
from tests.infra.invariants.registry import INVARIANTS, Invariant

__all__ = ["INVARIANTS", "Invariant", "access", "balancer", "healing", "network", "observing", "privilege", "rollout"]
