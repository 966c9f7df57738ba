"""What `pulumi up` tells a person: where the service is, how to try it, what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.settings import Settings


def url(settings: Settings, address: str) -> str:
    """Return the service's address for a browser."""
    return f"https://{settings.domains[0]}/" if settings.https else f"http://{address}/"


def curl(settings: Settings, base: str) -> str:
    """Return a command that classifies a picture."""
    token = '-H "Authorization: Bearer $TOKEN" ' if settings.iap_members else ""
    return f"curl {token}--data-binary @picture.jpg {base}predict"


def dashboard(settings: Settings, dashboard_id: str) -> str:
    """Return the dashboard's address; its id is projects/NUMBER/dashboards/UUID."""
    name = dashboard_id.rsplit("/", 1)[-1]
    return f"https://console.cloud.google.com/monitoring/dashboards/builder/{name}?project={settings.project}"


def records(
    settings: Settings, addresses: Mapping[str, str], proofs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the DNS records to set: each domain's addresses, and what proves it to Google."""
    if not settings.https:
        return []
    types = {"ipv4": "A", "ipv6": "AAAA"}
    return [
        *({"name": f"{domain}.", "type": types[version], "value": address}
          for domain in settings.domains for version, address in addresses.items()),
        *(dict(proof) for proof in proofs),
    ]  # fmt: skip


def build_first(settings: Settings, records: Sequence[Mapping[str, Any]]) -> str:
    """Return what to do once the foundations are there: DNS records, then an image, built, tested and deployed."""
    host = settings.registry.split("/", 1)[0]
    return f"{_set(records)}gcloud auth configure-docker {host} && make deploy STACK={settings.stack}"


def next_step(settings: Settings, address: str, records: Sequence[Mapping[str, Any]]) -> str:
    """Return what to do once the service is there: the DNS records, where there are domains; then a load test."""
    test = f"python -m loadtest run --scenario smoke --host {url(settings, address)}"
    if not settings.https:
        return test
    wait = {"dns": "", "load-balancer": "The certificates follow within the hour. "}.get(settings.certificates, "")
    return f"{_set(records)}{wait}Then: {test}"


def _set(records: Sequence[Mapping[str, Any]]) -> str:
    if not records:
        return ""
    return f"Set these DNS records: {', '.join('{name} {type} {value}'.format(**record) for record in records)}. "
