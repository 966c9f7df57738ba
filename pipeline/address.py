"""The address from which this machine reaches the internet: what an allowlist must hold to let it in.

Asked of Google's own name server, which answers every question for one name with the address of whoever asks. The
metadata server of a build does not know it, and a web service of somebody else would learn who deploys here.
"""

from __future__ import annotations

import ipaddress
import socket

import dns.exception
import dns.resolver

from pipeline.errors import StepFailed

_SERVER = "ns1.google.com"
_NAME = "o-o.myaddr.l.google.com"
_LIMIT_SEC = 10.0


def public_ipv4(stated: str = "", server: str = _SERVER, port: int = 53) -> str:
    """Return this machine's public IPv4 address.

    Args:
        stated: the address, where somebody knows it (BUILD_ADDRESS); it comes first.
        server: the name server that is asked. By its IPv4 address, or it would answer with ours of IPv6.
        port: its port.

    Raises:
        StepFailed: nobody could say.
    """
    if stated:
        return _checked(stated)
    try:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [socket.gethostbyname(server)]
        resolver.port = port
        texts = [
            text.decode() for record in resolver.resolve(_NAME, "TXT", lifetime=_LIMIT_SEC) for text in record.strings
        ]
    except (OSError, dns.exception.DNSException) as error:
        raise StepFailed(
            f"{server} does not say which address this machine has ({error}): give it as BUILD_ADDRESS, or allow DNS "
            "outwards."
        ) from error
    # A resolver on the way adds a text of its own, "edns0-client-subnet ADDRESS/LENGTH".
    return _checked(next((text for text in texts if " " not in text), ""))


def _checked(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise StepFailed(f"{text!r} is no IPv4 address of this machine: give it as BUILD_ADDRESS.") from error
