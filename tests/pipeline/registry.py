"""A real registry of images on this machine: Debian's docker-registry, the one that Docker calls `registry`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from tests.conftest import missing
from tests.server import free_port

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


class Registry:
    """What a registry holds, asked and told by its own interface."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.host = f"localhost:{port}"

    def tags(self, repository: str) -> list[str]:
        try:
            with self._ask("GET", f"{repository}/tags/list") as response:
                return sorted(json.load(response)["tags"] or [])
        except urllib.error.HTTPError as error:
            error.close()
            return []

    def digest(self, repository: str, tag: str) -> str:
        with self._ask("HEAD", f"{repository}/manifests/{tag}", headers={"Accept": f"{MANIFEST}, {LIST}"}) as response:
            return str(response.headers["Docker-Content-Digest"])

    def forget(self, repository: str) -> None:
        """Delete every image of a repository, as a cleanup rule does."""
        for digest in {self.digest(repository, tag) for tag in self.tags(repository)}:
            self._ask("DELETE", f"{repository}/manifests/{digest}").close()

    def put_blob(self, repository: str, content: bytes) -> dict[str, Any]:
        """Store bytes; returns how a manifest names them."""
        with self._ask("POST", f"{repository}/blobs/uploads/", b"") as response:
            place = response.headers["Location"]
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._ask("PUT", f"{place}&digest={digest}", content, {"Content-Type": "application/octet-stream"}).close()
        return {"digest": digest, "size": len(content)}

    def put_manifest(self, repository: str, tag: str, document: dict[str, Any]) -> dict[str, Any]:
        """Store a manifest under a tag; returns how a list names it."""
        content = json.dumps({"schemaVersion": 2, **document}).encode()
        self._ask("PUT", f"{repository}/manifests/{tag}", content, {"Content-Type": str(document["mediaType"])}).close()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return {"mediaType": document["mediaType"], "digest": digest, "size": len(content)}

    def put_image(self, repository: str, tag: str, config: dict[str, Any], *layers: bytes) -> str:
        """Store an image of compressed layers, byte for byte; returns its digest."""
        kind = "application/vnd.docker.container.image.v1+json"
        layer = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        manifest = {
            "mediaType": MANIFEST,
            "config": {"mediaType": kind, **self.put_blob(repository, json.dumps(config).encode())},
            "layers": [{"mediaType": layer, **self.put_blob(repository, content)} for content in layers],
        }
        return str(self.put_manifest(repository, tag, manifest)["digest"])

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        url = path if path.startswith("http") else f"http://{self.host}/v2/{path}"
        request = urllib.request.Request(url, body, headers or {}, method=method)
        response: HTTPResponse = urllib.request.urlopen(request, timeout=10)
        return response


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Registry]:
    """Run a registry that keeps its images in `folder`."""
    program = shutil.which("docker-registry")
    if program is None:
        missing("docker-registry is not installed")
    port = free_port()
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n  delete:\n    enabled: true\n"
        f"http:\n  addr: 127.0.0.1:{port}\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://localhost:{port}/v2/", timeout=5):
                break
            time.sleep(0.1)
        else:
            raise AssertionError((folder / "log").read_text())
        yield Registry(port)
    finally:
        process.terminate()
        process.wait(timeout=30)
