"""Who gets an answer: from an address by rule, proxy, URL map, backend service and group to a machine that is ready.

A certificate that Google has not issued yet is looked at apart: `pending` (finding A3), since what a change of settings
does in a second is one thing, and what waits for somebody's DNS another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.infra.deployment import values
from tests.infra.google.api import GoogleProject, Thing
from tests.infra.google.calls import paths

# From where Google's balancers and probes ask (load balancing's documentation, "Firewall rules").
PROBES = ipaddress.ip_network("35.191.0.0/16")
EVERYWHERE = "*"


@dataclass(frozen=True)
class FrontEnd:
    """An address and a port that lead to a machine that is ready, for clients of some ranges."""

    address: str
    port: int
    admits: frozenset[str]
    certificate_pending: bool = False

    @property
    def at(self) -> tuple[str, int]:
        return self.address, self.port


def front_ends(project: GoogleProject) -> list[FrontEnd]:
    """Return all that leads to an answer just now."""
    return [*_behind_a_balancer(project), *_directly(project)]


def ejects_by_success_rate(service: Mapping[str, Any]) -> bool:
    """Return whether a backend service ejects machines by their success rate, as it does where nothing is said."""
    detection = service.get("outlierDetection") or {}
    return (
        bool(detection)
        and detection.get("enforcingSuccessRate", 100) > 0
        and (detection.get("successRateMinimumHosts", 5) < 1000)
    )


def _behind_a_balancer(project: GoogleProject) -> Iterator[FrontEnd]:
    found: dict[tuple[str, int], FrontEnd | None] = {}
    for rule in _of(project, "compute.GlobalForwardingRule"):
        port, address = int(str(rule.fields["portRange"]).partition("-")[0]), rule.fields["ipAddress"]
        proxy = _referred(project, rule.fields["target"])
        url_map = _referred(project, proxy.fields["urlMap"]) if proxy else None
        if not proxy or not url_map:
            continue
        if "defaultUrlRedirect" in url_map.fields:
            found[address, port] = None
        elif (service := _referred(project, url_map.fields["defaultService"])) and _has_machines(project, service):
            pending = proxy.kind == "compute.TargetHttpsProxy" and not _has_certificate(project, proxy)
            found[address, port] = FrontEnd(_address(project, address), port, _admitted(project, service), pending)
    for (address, port), front_end in found.items():
        # A redirect is as good as where it leads to.
        onward = front_end or found.get((address, 443))
        if onward:
            yield FrontEnd(onward.address, port, onward.admits, onward.certificate_pending)


def _directly(project: GoogleProject) -> Iterator[FrontEnd]:
    for path, machines in project.machines.items():
        if machines.ready and machines.address and _is_alive(project, path):
            yield FrontEnd(machines.address, machines.port, _open_to(project, path, machines.port))


def _has_machines(project: GoogleProject, service: Thing) -> bool:
    """Return whether a group of a backend service has machines that its probe finds, and that the firewall lets be."""
    ports = {int(probe.fields["httpHealthCheck"]["port"]) for probe in _all(project, service.fields["healthChecks"])}
    for backend in service.fields["backends"]:
        for path in paths(backend["group"]):
            group = project.things.get(path)
            if not group or not project.machines[path].ready:
                continue
            named = {item["name"]: item["port"] for item in group.fields["namedPorts"]}
            port = project.machines[path].port
            reaches = named.get(service.fields["portName"]) == port and ports == {port}
            if reaches and _is_alive(project, path) and _let_through(project, path, port):
                return True
    return False


def _is_alive(project: GoogleProject, group: str) -> bool:
    """Return whether autohealing leaves a group's machines alone."""
    return project.probed(group) in (None, project.machines[group].port)


def _let_through(project: GoogleProject, group: str, port: int) -> bool:
    ranges = _open_to(project, group, port)
    return any(PROBES.subnet_of(ipaddress.ip_network(one)) for one in ranges if ":" not in one)  # type: ignore[arg-type]


def _open_to(project: GoogleProject, group: str, port: int) -> frozenset[str]:
    """Return the ranges that the firewall admits to a port of a group's machines."""
    account = (project.machines[group].serving or {}).get("serviceAccount", {}).get("email")
    found: set[str] = set()
    for rule in _of(project, "compute.Firewall"):
        open_ports = {one for allowed in rule.fields.get("allows", []) for one in allowed.get("ports", [])}
        if str(port) in open_ports and account in rule.fields.get("targetServiceAccounts", []):
            found |= set(rule.fields.get("sourceRanges", []))
    return frozenset(found)


def _admitted(project: GoogleProject, service: Thing) -> frozenset[str]:
    """Return the ranges that Cloud Armor admits: everywhere, where a service has no policy."""
    policy = _referred(project, service.fields.get("securityPolicy"))
    if policy is None:
        return frozenset({EVERYWHERE})
    found: set[str] = set()
    for rule in policy.fields["rules"]:
        if not str(rule["action"]).startswith("deny"):
            found |= set(values(rule, "match.config.srcIpRanges[]"))
    return frozenset(found)


def _has_certificate(project: GoogleProject, proxy: Thing) -> bool:
    """Return whether one of a proxy's certificates is older than this run, so that it can have been issued."""
    names = proxy.fields.get("certificateMap") or proxy.fields.get("sslCertificates") or []
    known = list(_all(project, names))
    for path in paths(names):
        entries = [thing for one, thing in project.things.items() if one.startswith(f"{path}/certificateMapEntries/")]
        known += [certificate for entry in entries for certificate in _all(project, entry.fields.get("certificates"))]
    issued = ("compute.ManagedSslCertificate", "certificatemanager.Certificate")
    return any(certificate.kind in issued and certificate.born < project.run for certificate in known)


def _address(project: GoogleProject, reference: str) -> str:
    address = _referred(project, reference)
    return str(address.fields["address"]) if address else reference


def _of(project: GoogleProject, kind: str) -> list[Thing]:
    return [thing for thing in project.things.values() if thing.kind == kind]


def _referred(project: GoogleProject, reference: Any) -> Thing | None:
    return next(iter(_all(project, reference)), None)


def _all(project: GoogleProject, references: Any) -> Iterator[Thing]:
    for path in sorted(paths(references)):
        if path in project.things:
            yield project.things[path]
