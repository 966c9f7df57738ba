"""A small reverse proxy for tests: shows a server under a path of its own, or answers in its place."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Instead:
    """What a proxy answers in the server's place; nothing and a closed connection where the status is 0."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Proxy:
    """How a proxy behaves; to be changed at any time.

    Attributes:
        port: where it listens.
        target: the server's port.
        path: under which it shows the server; elsewhere is nothing.
        strips: whether it takes the path off before it asks the server.
        instead: what it answers to POST in the server's place.
    """

    port: int
    target: int = 0
    path: str = ""
    strips: bool = True
    instead: Instead | None = None


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        proxy = self.proxy
        if self.command == "POST" and proxy.instead:
            self._reply(proxy.instead.status, list(proxy.instead.headers.items()), proxy.instead.body)
        elif not self.path.startswith(proxy.path):
            self._reply(404, [], b"nothing is here")
        else:
            connection = http.client.HTTPConnection("127.0.0.1", proxy.target, timeout=20)
            path = (self.path.removeprefix(proxy.path) or "/") if proxy.strips else self.path
            headers = {**dict(self.headers.items()), "Connection": "close"}
            connection.request(self.command, path, body, headers)
            response = connection.getresponse()
            self._reply(response.status, response.getheaders(), response.read())
            connection.close()

    do_POST = do_OPTIONS = do_GET  # noqa: N815  # the base class's names

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if not status:
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running_proxy() -> Iterator[Proxy]:
    """Run a proxy on a free port until the block ends."""

    class Handler(_Handler):
        """One proxy's own."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.proxy = Proxy(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Handler.proxy
        finally:
            server.shutdown()
            thread.join()
