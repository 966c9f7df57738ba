"""What stops a step: one sentence that says what happened and what to do.

StepFailed                 it cannot go on
  Locked                   somebody else is changing the stack at this moment
  LockLost                 somebody else took the rollout over: nothing more may be changed
  Changed                  somebody else has written the object                    (bucket.py)
  Interrupted, Refused     Pulumi was ended, or ended in an error                  (pulumi_cli.py)
  UpdateFailed             `pulumi up` failed on some resources, which are named   (outcomes.py)
  ProtectedResources       protected resources would go, which are named           (outcomes.py)
  AccessLeftOpen           the fleet is fine, a build's access to it still there   (temporary_access.py)
  FleetUnhealthy           the machines do not become what they should             (machines.py)
"""

from __future__ import annotations

import sys
from collections.abc import Callable


class StepFailed(Exception):
    """A step cannot go on; the fleet is as it was, unless the sentence says otherwise."""


class Locked(StepFailed):
    """Somebody else is changing the stack at this moment."""


class LockLost(StepFailed):
    """Somebody else has taken over: whatever is half done is theirs to mend, and nothing more may be changed here."""


def log(message: str) -> None:
    """Print a line at once: the logs of a build are read while it runs."""
    print(message, flush=True)


def main(step: Callable[[], None]) -> None:
    """Run a step; a StepFailed ends the process with its sentence and code 1."""
    try:
        step()
    except StepFailed as reason:
        print(f"pipeline: {reason}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        print("pipeline: ended by Ctrl-C; run it again to go on.", file=sys.stderr, flush=True)
        sys.exit(130)
