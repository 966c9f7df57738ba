"""A server that costs next to nothing, for tests of the benchmark: `python -m tests.loadtest.bench.fake_server PORT`.

It takes 2 ms for a picture, one after the other: ten times what it can do are then some hundred connections, no more
than it may have open.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TURN = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer({"model": {"engine": "none"}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with TURN:
            time.sleep(0.002)
        self._answer({"predictions": []})

    def log_message(self, *_args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
