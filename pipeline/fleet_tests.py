"""Tests a fleet through its balancer, as whoever it admits sees it: ready, right, and under load.

By the stack's IPv4 address, with the domain as the name that is asked for: DNS may not lead there yet, and of a machine
with both kinds of address only the one of IPv4 is admitted.
"""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra import names
from infra.settings import Settings as StackSettings
from pipeline import answers
from pipeline.answers import Service
from pipeline.commands import json_output
from pipeline.errors import StepFailed, log
from pipeline.settings import Settings

HERE = Path(__file__).resolve().parent
# load.sh's code where all answers were right and only too slow.
_LATENCY_MISSED = 3


def run(outputs: Mapping[str, Any], stack: StackSettings, settings: Settings) -> None:
    """Ask the fleet its known answers and put it under load.

    What cannot be tested from here (a sign-in, a certificate that Google has not issued yet) is said and no failure:
    the machines' own health was tested before.

    Raises:
        StepFailed: it fails.
    """
    service = Service(str(outputs["url"]), str((outputs.get("addresses") or {}).get("ipv4") or ""))
    untested = "the machines' health was tested, neither answers nor load"
    if pending := pending_certificates(service, stack):
        log(
            f"tests: the certificate of {', '.join(pending)} is not issued yet: {untested}. Google issues it within "
            "the hour once the DNS records are there that `pulumi stack output records` shows."
        )
        return
    if behind_sign_in(service):
        log(f"tests: Identity-Aware Proxy asks for a sign-in: {untested}")
        return
    try:
        answers.wait_for(service, settings.ready_limit_sec, settings.poll_sec / 2)
    except StepFailed:
        if not refuses_encryption(service):
            raise
        # The balancer's doing, not the image's: a new certificate needs half an hour to reach all front ends.
        log(f"tests: the balancer does not show its certificate yet: {untested}")
        return
    count = answers.check(service, settings.commit)
    log(f"tests: {count} of {count} known answers are right through the balancer")
    _load(service)


def refuses_encryption(service: Service) -> bool:
    """Return whether no handshake comes about, so that no machine is asked at all."""
    try:
        service.request("/healthz")
    except ssl.SSLError:
        return True
    except OSError:
        pass
    return False


def pending_certificates(service: Service, stack: StackSettings) -> list[str]:
    """Return the domains whose certificates Google has not issued, where that keeps this service from answering."""
    if not stack.https:
        return []
    try:
        service.request("/healthz")
    except OSError:
        pass
    else:
        return []
    common = [f"--project={stack.project}", "--format=json"]
    if stack.certificates == "dns":
        command = ["gcloud", "certificate-manager", "certificates", "list", "--location=global", *common]
    else:
        command = ["gcloud", "compute", "ssl-certificates", "list", "--global", *common]
    try:
        listed = json_output(command)
    except StepFailed as reason:  # an account that may not look, which is no reason to go back
        log(f"tests: the certificates cannot be looked at: {reason}")
        return []
    pending: list[str] = []
    for item in listed:
        managed = item.get("managed") or {}
        # The two interfaces call it differently; both say ACTIVE.
        state = managed.get("status") or managed.get("state") or "ACTIVE"
        if str(item["name"]).rsplit("/", 1)[-1].startswith(f"{names.prefix(stack.stack)}-") and state != "ACTIVE":
            pending += managed.get("domains") or [str(item["name"])]
    return pending


def behind_sign_in(service: Service) -> bool:
    """Return whether Identity-Aware Proxy answers instead of the fleet, which no build can sign in to."""
    try:
        _, headers, _ = service.request("/healthz")
    except OSError:
        return False
    # https://cloud.google.com/iap/docs/faq: its own answers carry this header.
    return headers.get("x-goog-iap-generated-response") == "true"


def _load(service: Service) -> None:
    command = [str(HERE / "load.sh"), service.url, str(HERE / "targets.toml")]
    code = subprocess.run(command, env={**os.environ, "CONNECT_TO": service.address}, check=False).returncode
    if code == _LATENCY_MISSED:
        # How fast answers come depends on where they are asked for: on a laptop's uplink, on a builder that others
        # share. It takes no good image down again, and a release that is out is no failed build.
        log("tests: WARNING: all answers were right, and slower than targets.toml says, seen from here: see above")
    elif code:
        raise StepFailed("the fleet misses its targets under load, or could not be tested, see above.")
