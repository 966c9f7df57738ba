"""Is the server in this container alive? Exit code 0 or 1, for HEALTHCHECK; it runs for ever, so it imports little."""

import os
import socket
import sys


def alive(host: str, port: int, timeout_sec: float = 3.0) -> bool:
    """Return whether /healthz answers 200 in time; where a server listens on every address, so does its own machine."""
    try:
        with socket.create_connection((host, port), timeout_sec) as connection:
            connection.settimeout(timeout_sec)
            connection.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return connection.recv(64).startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 "))
    except OSError:
        return False


if __name__ == "__main__":
    setting = os.environ.get("HOST", "").strip().strip("[]")
    sys.exit(not alive(setting or "127.0.0.1", int(os.environ.get("PORT") or 8080)))
