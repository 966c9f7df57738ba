"""The look-up of known vulnerabilities, against a database of our own on this machine."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.server import environment


class Database(http.server.HTTPServer):
    """Speaks as much of OSV's interface as pip-audit uses."""

    vulnerable = ""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = query["package"]["name"]
        entry = {
            "id": "TEST-2026-1",
            "summary": "a test",
            "details": "a test",
            "affected": [
                {
                    "package": {"name": name, "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
                }
            ],
        }
        body = json.dumps({"vulns": [entry]} if name == self.server.vulnerable else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


@pytest.fixture
def database() -> Iterator[Database]:
    server = Database(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def audit(url: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REPOSITORY / "container" / "audit.sh"],
        env=environment(PYTHON=sys.executable, OSV_URL=url, HOME=home, XDG_CACHE_HOME=home),
        capture_output=True,
        text=True,
        check=False,
    )


def test_packages_without_known_vulnerabilities_pass(database: Database, tmp_path: Path) -> None:
    result = audit(f"http://127.0.0.1:{database.server_port}/v1/query", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "no vulnerability is known in 1" in result.stdout


def test_a_known_vulnerability_fails_with_its_fix(database: Database, tmp_path: Path) -> None:
    database.vulnerable = "pillow"
    result = audit(f"http://127.0.0.1:{database.server_port}/v1/query", tmp_path)
    assert result.returncode == 1, result.stderr
    assert "pillow 13.0.0: TEST-2026-1 (fixed in 99.1)" in result.stdout


def test_a_database_that_cannot_be_asked_is_no_pass(tmp_path: Path) -> None:
    result = audit("http://127.0.0.1:9/v1/query", tmp_path)
    assert result.returncode == 3
    assert "cannot be asked" in result.stderr
