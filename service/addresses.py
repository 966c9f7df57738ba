"""Addresses as settings give them: the path under which a proxy shows the service, and the origins of pages."""

from __future__ import annotations

import re

# A base path that begins like one of these could not be told from the address itself.
OWN_ADDRESSES = frozenset(
    ["predict", "healthz", "readyz", "metrics", "version", "docs", "openapi.json", "samples", "static"]
)

_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def base_path(text: str) -> str:
    """Return a path without a slash at its end; the root is an empty one.

    Raises:
        ValueError: it is no path, or one that begins like an address of the service itself.
    """
    path = text.rstrip("/")
    if path and (not _PATH.fullmatch(path) or path.split("/")[1] in OWN_ADDRESSES):
        raise ValueError
    return path


def origins(text: str) -> str:
    """Return a list of origins as browsers write them, separated by blanks.

    Raises:
        ValueError: one is neither an origin nor `*`.
    """
    return " ".join(item if item == "*" else _origin(item) for item in text.replace(",", " ").split())


def _origin(text: str) -> str:
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        raise ValueError
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"
