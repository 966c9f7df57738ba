"""What a first deployment takes, step by step, in minutes; nothing of it was ever measured on Google Cloud."""

from __future__ import annotations

import math
from collections.abc import Iterator

from infra.plans import BATCH_SEC
from infra.settings import Settings

_APIS = 2
_FOUNDATIONS = 3
# Tests, the network's INT8 form and the image, load test and push.
_IMAGE = 30
# A new balancer answers at all of Google's front ends only after some minutes.
_BALANCER = 5
_TESTS = 3
# https://cloud.google.com/load-balancing/docs/ssl-certificates/google-managed-certs
_CERTIFICATE = 60


def steps(settings: Settings) -> Iterator[tuple[str, str, int]]:
    """Yield each step of the first deployment as (command, what it does, minutes)."""
    yield "make up", "Google's APIs", _APIS
    yield "make up", "foundations: network, registry, accounts, address", _FOUNDATIONS
    yield "make deploy", "tests, model and image on this machine", _IMAGE
    yield "make deploy", "machines, until they are healthy", math.ceil(BATCH_SEC / 60)
    if not settings.single:
        yield "make deploy", "the balancer, until all of it answers", _BALANCER
    yield "make deploy", "tests from outside", _TESTS


def lines(settings: Settings) -> Iterator[str]:
    """Yield what to print."""
    planned = list(steps(settings))
    yield f"What the first deployment takes: some {sum(minutes for *_, minutes in planned)} minutes (estimated):"
    for command, what, minutes in planned:
        yield f"  {command:12} {minutes:3} min  {what}"
    if settings.https:
        names = ", ".join(settings.domains)
        how = "their DNS records are set" if settings.certificates == "dns" else "the names lead to the stack's address"
        yield f"  {'certificates':12} {_CERTIFICATE:3} min  at most, for {names}, once {how} (Google's word)"
