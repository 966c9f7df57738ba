"""Where the service is: its address, the IP address to connect to in its place, and the tokens that go along."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from loadtest.errors import LoadTestError
from loadtest.measure.answers import PATH

# Who may call Cloud Run or an API gateway, and who may pass Identity-Aware Proxy: two headers, so that both can be sent
# (https://cloud.google.com/iap/docs/authentication-howto).
TOKEN, IAP_TOKEN = "LOADTEST_TOKEN", "LOADTEST_IAP_TOKEN"

_PATH = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@%-]*")


@dataclass(frozen=True)
class Endpoint:
    """The address of a service under test, with what is needed to be let in."""

    url: str  # with the path under which a proxy shows the service, if any
    headers: Mapping[str, str] = field(default_factory=dict)
    insecure: bool = False
    connect_to: str | None = None  # an IP address, where it is not the one that the name has

    @property
    def name(self) -> str:
        """Return what people are told that it is."""
        return f"{self.url} at {self.connect_to}" if self.connect_to else self.url

    @property
    def local(self) -> bool:
        """Return whether it is this machine."""
        return _is_local(self.connect_to or urlsplit(self.url).hostname or "")


def endpoint(
    host: str, insecure: bool = False, connect_to: str | None = None, environ: Mapping[str, str] | None = None
) -> Endpoint:
    """Return the endpoint that `--host` names, with the tokens of the environment.

    Raises:
        LoadTestError: it is no address of a service, `connect_to` is no IP address, or a token would cross a network
            unencrypted.
    """
    parts = urlsplit(host)
    try:
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    path = parts.path.rstrip("/")
    if not sound or not _PATH.fullmatch(path) or path.endswith(PATH) or parts.query or parts.fragment or parts.username:
        raise LoadTestError(
            f"--host {host!r} is no address of a service: write one such as https://pictures.example.com"
        )
    headers = _tokens(os.environ if environ is None else environ)
    pinned = None if connect_to is None else _ip_address(connect_to)
    named = Endpoint(f"{parts.scheme}://{parts.netloc}{path}", headers, insecure, pinned)
    if headers and parts.scheme == "http" and not named.local:
        raise LoadTestError(
            f"A token would cross the network in the clear to {named.name}: use https://, or unset {TOKEN} and "
            f"{IAP_TOKEN}."
        )
    return named


def _ip_address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise LoadTestError(
            f"--connect-to {text!r} is no IP address: write one such as 203.0.113.10 or 2001:db8::10, without a port."
        ) from None
    return text


def _tokens(environ: Mapping[str, str]) -> dict[str, str]:
    headers = {}
    for variable, header in ((TOKEN, "Authorization"), (IAP_TOKEN, "Proxy-Authorization")):
        token = environ.get(variable, "").strip()
        if not token:
            continue
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise LoadTestError(f"{variable} holds no token: it has blanks or characters that no token has.")
        headers[header] = f"Bearer {token}"
    return headers


def _is_local(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
