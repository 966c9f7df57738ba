from __future__ import annotations

import pytest

from tests.pipeline.google import Google
from tests.pipeline.preflight.support import IN_PROJECT, IN_REGION, limits


@pytest.fixture
def google() -> Google:
    """A project in which nothing is wrong."""
    found = Google()
    found.say("billing", out={"billingAccountName": "billingAccounts/012345-6789AB-CDEF01", "billingEnabled": True})
    found.say("org-policies", out={"constraint": "constraints/x", "listPolicy": {"allValues": "ALLOW"}})
    found.say("config", "get", "account", out="me@example.com\n")
    found.say("get-iam-policy", out={"bindings": [{"members": ["user:Me@example.com"], "role": "roles/owner"}]})
    found.say("regions", "describe", out=limits(IN_REGION))
    found.say("project-info", out=limits(IN_PROJECT))
    zones = [f"us-central1-{letter}" for letter in "abcf"]
    for kind in ("e2-medium", "t2d-standard-2", "c4-standard-2", "n2-standard-2"):
        found.say("machine-types", f"--filter=name={kind}", out=[{"name": kind, "zone": zone} for zone in zones])
    return found
