"""How the check before a test connects: to which address, and whose certificates it trusts.

`--connect-to` names another IP address than the one that the host's name has, or one for a name that has none yet. Only
the connection goes there: the Host header, the name that TLS asks for and the check of the certificate remain those of
the URL, as with curl's --resolve. (`users.py` does the same for the test itself, whose client is another.)
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from loadtest.measure.endpoint import Endpoint


def session(endpoint: Endpoint) -> requests.Session:
    """Return a session that goes straight to an endpoint, trusts whom it says, and sends its tokens."""
    made = requests.Session()
    made.trust_env = False
    made.verify = False if endpoint.insecure else str(endpoint.authorities or "") or True
    made.headers.update(endpoint.headers)
    if endpoint.connect_to:
        for scheme in ("https://", "http://"):
            made.mount(scheme, _Pinned(endpoint.connect_to))
    return made


class _Pinned(HTTPAdapter):
    """Connects to one IP address, whatever the host name of the URL."""

    def __init__(self, ip_address: str) -> None:
        self._address = ip_address
        super().__init__()

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return where to connect to, and whose certificate to expect there."""
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            options |= {"server_hostname": host["host"], "assert_hostname": host["host"]}
        return {**host, "host": self._address}, options

    def add_headers(self, request: requests.PreparedRequest, **_: Any) -> None:
        """Name the URL's host; by itself the connection would name the address."""
        request.headers["Host"] = urlsplit(request.url or "").netloc
