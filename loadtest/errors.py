"""What ends a load test before it says anything about the service: exit code 2 and one sentence."""

from __future__ import annotations


class LoadTestError(Exception):
    """The test cannot be made: bad input, no service, another service. The message says what to do."""
