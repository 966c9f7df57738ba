"""Asks OSV, the open database of known vulnerabilities, which of them packages of exact versions have.

The database compares the versions by each ecosystem's own rules (https://google.github.io/osv.dev/api/). Debian's
advisories are by source package.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.errors import StepFailed

# What one request may ask for (OSV: querybatch), and requests at a time.
_LARGEST_BATCH = 1000
_THREADS = 8
_TIMEOUT_SEC = 30
_ATTEMPTS = 3
_PAUSE_SEC = 1.0


@dataclass(frozen=True, order=True)
class Package:
    """A package as the database names it; `ecosystem` is PyPI, or Debian with its release, as in Debian:12."""

    ecosystem: str
    name: str
    version: str


@dataclass(frozen=True)
class Vulnerability:
    """What is known of one package.

    Attributes:
        package: who has it.
        names: its id in the database first, then those of others for the same, such as CVE-2026-1.
        fixed: the versions of this package in this ecosystem that no longer have it; none where there is no fix yet.
    """

    package: Package
    names: tuple[str, ...]
    fixed: tuple[str, ...]


def look_up(url: str, packages: Sequence[Package], pause: Callable[[float], None] = time.sleep) -> list[Vulnerability]:
    """Return all that is known of some packages, in their order; what was withdrawn is left out.

    Raises:
        StepFailed: the database does not answer, or not as it should.
    """
    database = _Database(url.rstrip("/"), pause)
    try:
        ids = [
            (package, identifier)
            for start in range(0, len(packages), _LARGEST_BATCH)
            for package, identifier in database.ids(packages[start : start + _LARGEST_BATCH])
        ]
        with ThreadPoolExecutor(_THREADS) as threads:
            unique = sorted({identifier for _, identifier in ids})
            entries = dict(zip(unique, threads.map(database.entry, unique), strict=True))
        return [
            _vulnerability(package, entries[identifier])
            for package, identifier in ids
            if not entries[identifier].get("withdrawn")
        ]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise StepFailed(f"{url} answers in an unknown form ({type(error).__name__}: {error}).") from error


@dataclass(frozen=True)
class _Database:
    url: str
    pause: Callable[[float], None]

    def ids(self, packages: Sequence[Package]) -> list[tuple[Package, str]]:
        """Return the ids of what each package has; an answer that is too long for one page is asked for in pages."""
        pairs: list[tuple[Package, str]] = []
        pages = [(package, "") for package in packages]
        while pages:
            queries = [_query(package, token) for package, token in pages]
            answers = self._request("/v1/querybatch", {"queries": queries})["results"]
            following = []
            for (package, _), answer in zip(pages, answers, strict=True):
                pairs += [(package, str(item["id"])) for item in answer.get("vulns", ())]
                if token := answer.get("next_page_token"):
                    following.append((package, str(token)))
            pages = following
        return sorted(pairs, key=lambda item: packages.index(item[0]))

    def entry(self, identifier: str) -> dict[str, Any]:
        """Return what the database says of an id."""
        answer: dict[str, Any] = self._request(f"/v1/vulns/{identifier}")
        return answer

    def _request(self, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310  # the setting OSV_URL says which
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_SEC) as response:  # noqa: S310  # as above
                    return json.load(response)
            except (OSError, http.client.HTTPException) as error:
                busy = True
                if isinstance(error, urllib.error.HTTPError):
                    error.close()  # it holds the connection
                    busy = error.code == 429 or error.code >= 500
                if not busy or attempt == _ATTEMPTS:
                    raise StepFailed(f"{self.url}{path} does not answer ({error}).") from error
            self.pause(_PAUSE_SEC)
        raise AssertionError("the last attempt returns or raises")


def _query(package: Package, token: str) -> dict[str, Any]:
    query = {"package": {"name": package.name, "ecosystem": package.ecosystem}, "version": package.version}
    return {**query, "page_token": token} if token else query


def _vulnerability(package: Package, entry: dict[str, Any]) -> Vulnerability:
    # `upstream` is what an advisory of a distribution repeats: DEBIAN-CVE-2026-1 has CVE-2026-1.
    names = (str(entry["id"]), *map(str, entry.get("aliases", ())), *map(str, entry.get("upstream", ())))
    return Vulnerability(package, names, tuple(dict.fromkeys(_fixed(package, entry))))


def _fixed(package: Package, entry: dict[str, Any]) -> Iterator[str]:
    for affected in entry.get("affected", ()):
        concerned = affected.get("package", {})
        if (concerned.get("ecosystem"), concerned.get("name")) != (package.ecosystem, package.name):
            continue
        for span in affected.get("ranges", ()):
            if span.get("type") == "ECOSYSTEM":
                yield from (str(event["fixed"]) for event in span.get("events", ()) if "fixed" in event)
