"""Where the service is: its address, the IP address to connect to in its place, whom to trust, the tokens to send."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from loadtest.errors import LoadTestError
from loadtest.measure.answers import PATH

# Who may call Cloud Run or an API gateway, and who may pass Identity-Aware Proxy: two headers, so that both can be sent
# (https://cloud.google.com/iap/docs/authentication-howto).
TOKEN, IAP_TOKEN = "LOADTEST_TOKEN", "LOADTEST_IAP_TOKEN"

# Where other programs are told who signs certificates (OpenSSL, requests, curl); the first that is set counts.
AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_PATH = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@%-]*")


@dataclass(frozen=True)
class Endpoint:
    """The address of a service under test, with what is needed to be let in."""

    url: str  # with the path under which a proxy shows the service, if any
    headers: Mapping[str, str] = field(default_factory=dict)
    insecure: bool = False
    connect_to: str | None = None  # an IP address, where it is not the one that the name has
    authorities: Path | None = None  # a file or folder of certificates, trusted instead of the usual authorities

    @property
    def name(self) -> str:
        """Return what people are told that it is."""
        return f"{self.url} at {self.connect_to}" if self.connect_to else self.url

    @property
    def local(self) -> bool:
        """Return whether it is this machine."""
        return _is_local(self.connect_to or urlsplit(self.url).hostname or "")


def endpoint(
    host: str,
    insecure: bool = False,
    connect_to: str | None = None,
    ca: Path | None = None,
    send_token_unverified: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Endpoint:
    """Return the endpoint that `--host` names, with the tokens and the authorities of the environment.

    Raises:
        LoadTestError: it is no address of a service, `connect_to` is no IP address, there are no certificates where
            they should be, or a token would cross a network unencrypted or, without `send_token_unverified`, go to
            whoever answers.
    """
    environ = os.environ if environ is None else environ
    parts = urlsplit(host)
    try:
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    path = parts.path.rstrip("/")
    if not sound or not _PATH.fullmatch(path) or path.endswith(PATH) or parts.query or parts.fragment or "@" in host:
        raise LoadTestError(
            f"--host {host!r} is no address of a service: write one such as https://pictures.example.com"
        )
    headers = _tokens(environ)
    pinned = None if connect_to is None else _ip_address(connect_to)
    if ca and insecure:
        raise LoadTestError("--ca says whom to trust, and --insecure to trust everybody: give one of them.")
    authorities = _authorities(ca, environ) if parts.scheme == "https" and not insecure else None
    named = Endpoint(f"{parts.scheme}://{parts.netloc}{path}", headers, insecure, pinned, authorities)
    if headers and parts.scheme == "http" and not named.local:
        raise LoadTestError(
            f"A token would cross the network in the clear to {named.name}: use https://, or unset {TOKEN} and "
            f"{IAP_TOKEN}."
        )
    if headers and parts.scheme == "https" and insecure and not send_token_unverified:
        raise LoadTestError(
            f"With --insecure a token would go to whoever answers for {named.name}: give --ca FILE with who signed its "
            f"certificate, unset {TOKEN} and {IAP_TOKEN}, or add --send-token-unverified."
        )
    return named


def _authorities(ca: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file or folder of certificates that is to be trusted; None for the usual authorities."""
    named = ((variable, environ.get(variable)) for variable in AUTHORITIES)
    source, place = ("--ca", str(ca)) if ca else next((item for item in named if item[1]), ("", None))
    if not place:
        return None
    if (path := Path(place)).is_dir():
        return path
    try:
        sound = b"CERTIFICATE-----" in path.read_bytes()
    except OSError as error:
        raise LoadTestError(
            f"{source} names {place}, which is no file that can be read ({error.strerror}): name one with certificates."
        ) from None
    if not sound:
        raise LoadTestError(
            f"{source} names {place}, which holds no certificate in PEM's form (one from Windows may be in DER's: "
            f"openssl x509 -inform der -in {place} -out authority.pem)."
        )
    return path


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
