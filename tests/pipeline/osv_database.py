"""A database of known vulnerabilities on this machine, which speaks as much of OSV's interface as the pipeline does."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.osv import Package
from tests.answering import answering


class Database(http.server.HTTPServer):
    """Answers with the entries that `add` gave it, `page_size` of a package at a time.

    Attributes:
        refusals: codes with which the next requests are refused.
        asked: the paths that were asked for.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.entries: dict[str, dict[str, Any]] = {}
        self.page_size = 1000
        self.refusals: list[int] = []
        self.asked: list[str] = []

    def add(self, package: Package, identifier: str, fixed: str = "", **more: Any) -> None:
        """Have a package be vulnerable in all its versions, or all before `fixed`."""
        events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
        self.entries[identifier] = {
            "id": identifier,
            "affected": [
                # The same under another ecosystem, whose fixed version is not this one's.
                {
                    "package": {"name": package.name, "ecosystem": "Debian:99"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}],
                },
                {
                    "package": {"name": package.name, "ecosystem": package.ecosystem},
                    "ranges": [
                        {"type": "GIT", "events": [{"fixed": "c0ffee"}]},
                        {"type": "ECOSYSTEM", "events": events},
                    ],
                },
            ],
            **more,
        }

    def ids(self, package: dict[str, str]) -> list[str]:
        return [
            identifier
            for identifier, entry in self.entries.items()
            if any(affected["package"] == package for affected in entry["affected"])
        ]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self._answer({"results": [self._page(query) for query in queries]})

    def do_GET(self) -> None:
        self._answer(self.server.entries[self.path.removeprefix("/v1/vulns/")])

    def _page(self, query: dict[str, Any]) -> dict[str, Any]:
        assert query["version"]
        start, size = int(query.get("page_token", 0)), self.server.page_size
        ids = self.server.ids(query["package"])
        page: dict[str, Any] = {"vulns": [{"id": identifier} for identifier in ids[start : start + size]]}
        if not page["vulns"]:
            return {}
        return {**page, "next_page_token": str(start + size)} if len(ids) > start + size else page

    def _answer(self, document: object) -> None:
        self.server.asked.append(self.path)
        code = self.server.refusals.pop(0) if self.server.refusals else 200
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


@pytest.fixture
def database() -> Iterator[Database]:
    with answering(Database()) as server:
        yield server
