"""A real Docker Engine, the image built from this checkout, and a container that runs as in production."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline import pin
from service.model.bundle import Bundle
from tests.conftest import REPOSITORY, missing
from tests.server import Server, free_port

# What all stages of the Dockerfile start from, as it is named there: by tag and, once it is pinned, digest.
_REFERENCE = pin.references(REPOSITORY / "Dockerfile")[0]
BASE = (REPOSITORY / "Dockerfile").read_text("utf-8")[_REFERENCE.start : _REFERENCE.end]
DOCKER = os.environ.get("DOCKER", "docker")
TAG = "classifier:image-test"
COMMIT = "0123456789abcdef"


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DOCKER, *arguments], capture_output=True, text=True, check=check)


def inspect(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", name).stdout)[0]
    return found


def _engine_answers() -> bool:
    return shutil.which(DOCKER) is not None and docker("info", check=False).returncode == 0


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Docker Engine: the one that runs, or, where tools are required, one that is started for this session."""
    if _engine_answers():
        yield
        return
    if not os.environ.get("REQUIRE_TOOLS") or shutil.which("dockerd") is None:
        missing("no Docker Engine is running")
    log = (tmp_path_factory.mktemp("docker") / "dockerd.log").open("wb")
    process = subprocess.Popen(["dockerd", "--iptables=false", "--bridge=none"], stdout=log, stderr=log)
    try:
        for _ in range(120):
            if _engine_answers():
                break
            time.sleep(0.5)
        else:
            missing(f"the Docker Engine does not start: {Path(log.name).read_text()[-2000:]}")
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


@pytest.fixture(scope="session")
def base(engine: None) -> str:
    """The image that the Dockerfile starts from: pulled, or made here where no registry can be reached.

    What is made here has no digest of a registry, and so the tag alone for a name.
    """
    made = f"{_REFERENCE.name}:{_REFERENCE.tag}"
    for name in (BASE, made):
        if docker("image", "inspect", name, check=False).returncode == 0:
            return name
    if docker("pull", BASE, check=False).returncode == 0:
        return BASE
    if shutil.which("debootstrap") is None:
        missing(f"{BASE} cannot be pulled and debootstrap is not installed")
    subprocess.run([REPOSITORY / "tests" / "container" / "base.sh", made], check=True, env=_build_environment())
    return made


def _build_environment() -> dict[str, str]:
    return {**os.environ, "DOCKER": DOCKER, "COMMIT": COMMIT}


@pytest.fixture(scope="session")
def context(base: str, digits_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout with a model in models/resnet18, that starts from the base image that there is."""
    folder = tmp_path_factory.mktemp("context")
    for name in ("container", "requirements", "service"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / ".dockerignore", folder)
    (folder / "Dockerfile").write_text((REPOSITORY / "Dockerfile").read_text("utf-8").replace(BASE, base))
    shutil.copytree(digits_bundle.path, folder / "models" / "resnet18")
    return folder


def build(context: Path, tag: str, *options: str, weights: str = "local") -> subprocess.CompletedProcess[str]:
    """Build an image; machines whose network needs their own certificates name them in SSL_CERT_FILE."""
    extra = ["--network", "host", *options]
    if certificates := os.environ.get("SSL_CERT_FILE"):
        extra += ["--secret", f"id=ca,src={certificates}"]
    return subprocess.run(
        [context / "container" / "build.sh", tag, *extra],
        env={**_build_environment(), "WEIGHTS": weights},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def image(base: str, context: Path) -> str:
    """The production image with the digits model, as `make image WEIGHTS=local` builds it."""
    result = build(context, TAG)
    assert result.returncode == 0, result.stderr[-3000:]
    return TAG


@dataclass
class Container(Server):
    """A running container; its HTTP interface is that of every other server in these tests."""

    name: str = ""

    def exists(self) -> bool:
        return docker("inspect", self.name, check=False).returncode == 0

    def process_status(self) -> dict[str, str]:
        """Return /proc/PID/status of the container's first process, as the host sees it."""
        pid = inspect(self.name)["State"]["Pid"]
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run Python inside, as the container's own user."""
        return docker("exec", self.name, "python3", "-c", code, check=False)


@contextlib.contextmanager
def started(
    image: str, tmp_path: Path, *options: str, network: str = "host", **settings: object
) -> Iterator[Container]:
    """Run `image` exactly as production does until the block ends; on the host's network, or on none."""
    port = free_port()
    name = f"image-test-{port}"
    given = {"PORT": port, "HOST": "127.0.0.1", **settings}
    environment = [part for key, value in given.items() for part in ("--env", f"{key}={value}")]
    command = [
        str(REPOSITORY / "container" / "run.sh"),
        image,
        "--name",
        name,
        "--network",
        network,
        *environment,
        *options,
    ]
    log = tmp_path / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=_build_environment(), stdout=output, stderr=subprocess.STDOUT)
    container = Container(process=process, port=port, log=log, name=name)
    try:
        yield container
    finally:
        docker("rm", "--force", name, check=False)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def container(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    with started(image, tmp_path_factory.mktemp("container")) as running:
        running.wait_until_ready()
        yield running
