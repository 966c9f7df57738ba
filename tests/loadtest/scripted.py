"""A stand-in for the service that misbehaves on command: real HTTP, answers from a script."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

MODEL = {"architecture": "resnet18", "weights": "official", "precision": "int8", "engine": "openvino"}


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]


def answer(status: int, body: object, content_type: str = "application/json", **headers: str) -> Answer:
    names = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Answer(status, json.dumps(body).encode(), names)


def problem(status: int, name: str, **headers: str) -> Answer:
    body = {"type": f"/docs#{name}", "title": name, "status": status, "detail": "Because of the script."}
    return answer(status, body, "application/problem+json", **headers)


GOOD = answer(200, {"predictions": [{"label": "cat", "index": 1, "probability": 0.9}]})
PAGES = {"/readyz": answer(200, {"status": "ready"}), "/version": answer(200, {"version": "1", "model": MODEL})}
Script = Callable[[int], Answer]  # of the number of the picture, from 0


class Scripted:
    """A running server, with the times and headers of the pictures that it got."""

    def __init__(self, script: Script, pages: Mapping[str, Answer]) -> None:
        self.script = script
        self.pages = pages
        self.seen: list[tuple[float, Mapping[str, str]]] = []
        self.hosts: set[str] = set()  # what every request's Host header said
        self.lock = threading.Lock()
        self.url = ""
        self.port = 0


@contextlib.contextmanager
def serving(script: Script = lambda _: GOOD, tls: ssl.SSLContext | None = None, **pages: Answer) -> Iterator[Scripted]:
    """Serve on a free port, where `tls` is given by HTTPS; `pages` replace /readyz and /version (readyz=..., ...)."""
    server = Scripted(script, {**PAGES, **{f"/{name}": page for name, page in pages.items()}})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.hosts.add(self.headers["Host"])
            self._send(server.pages.get(self.path, answer(404, "nothing")))

        def do_POST(self) -> None:
            server.hosts.add(self.headers["Host"])
            self.rfile.read(int(self.headers["Content-Length"]))
            with server.lock:
                number = len(server.seen)
                server.seen.append((time.monotonic(), dict(self.headers)))
            self._send(server.script(number))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that went away

    http = Server(("127.0.0.1", 0), Handler)
    server.port = http.server_port
    server.url = f"http://127.0.0.1:{server.port}"
    if tls:
        server.url = f"https://127.0.0.1:{server.port}"
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
