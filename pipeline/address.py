"""The address from which this machine reaches the internet: what an allowlist must hold to let it in.

Asked of Google's own name server, which answers every question for one name with the address of whoever asks. The
metadata server of a build does not know it, and a web service of somebody else would learn who deploys here.
"""

from __future__ import annotations

import ipaddress
import os
import socket

import dns.exception
import dns.resolver

from pipeline.errors import Stop

_SERVER = "ns1.google.com"
_NAME = "o-o.myaddr.l.google.com"
_LIMIT_SEC = 10.0


def own(server: str = _SERVER, port: int = 53) -> str:
    """Return this machine's public IPv4 address; the environment's BUILD_ADDRESS comes first.

    Raises:
        Stop: nobody could say.
    """
    if stated := os.environ.get("BUILD_ADDRESS"):
        return _checked(stated)
    try:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [socket.gethostbyname(server)]
        resolver.port = port
        texts = [
            text.decode() for record in resolver.resolve(_NAME, "TXT", lifetime=_LIMIT_SEC) for text in record.strings
        ]
    except (OSError, dns.exception.DNSException) as error:
        raise Stop(
            f"{server} does not say which address this machine has ({error}): give it as BUILD_ADDRESS, or allow DNS "
            "outwards."
        ) from error
    # A resolver on the way adds a text of its own, "edns0-client-subnet ADDRESS/LENGTH".
    return _checked(next((text for text in texts if " " not in text), ""))


def _checked(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise Stop(f"{text!r} is no IPv4 address of this machine: give it as BUILD_ADDRESS.") from error
