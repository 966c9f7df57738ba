"""Changes of settings that Google takes and people would suffer from, seen before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.settings import Settings
from pipeline.errors import StepFailed, log


def check(outputs: Mapping[str, Any], settings: Settings) -> None:
    """Compare a running stack with what its settings ask for now.

    Args:
        outputs: the stack's.
        settings: what its file says.

    Raises:
        StepFailed: the service would be out of reach; the sentence says how to get there without that.
    """
    if not outputs.get("image") or not settings.https:
        return
    before = outputs.get("certificates", "")
    if before == "load-balancer" and settings.certificates == "dns":
        raise StepFailed(
            "certificates goes from load-balancer to dns at once, and browsers would get errors until Google has "
            "issued the new ones: set it to both, `make up`, set the records that it names, and set it to dns when "
            "`gcloud certificate-manager certificates list` says ACTIVE. Nothing was changed."
        )
    if not before and settings.redirect_http and settings.certificates != "dns":
        log(
            "https: from now on HTTP leads to HTTPS, and browsers get errors there until Google has issued the "
            "certificates, up to an hour. With redirectHttp false HTTP serves until then."
        )
