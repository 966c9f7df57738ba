"""What `pulumi up` tells a person: where the service is, how to try it, what to type next."""

from __future__ import annotations

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


def build_first(settings: Settings) -> str:
    """Return what to type once the foundations are there: build an image, test it, push it, deploy it by its digest."""
    host = settings.registry.split("/", 1)[0]
    return f"gcloud auth configure-docker {host} && make deploy STACK={settings.stack}"


def next_step(settings: Settings, addresses: dict[str, str]) -> str:
    """Return what to do once the service is there: the DNS records, where there are domains; then a load test."""
    test = f"python -m loadtest run --scenario smoke --host {url(settings, addresses['ipv4'])}"
    if not settings.https:
        return test
    kinds = {"ipv4": "A", "ipv6": "AAAA"}
    records = ", ".join(
        f"{domain} {kinds[version]} {address}" for domain in settings.domains for version, address in addresses.items()
    )
    return f"Set these DNS records: {records}. The certificates follow within the hour. Then: {test}"
