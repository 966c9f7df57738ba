"""One image from one stack's repository to another's: the same digest there, or a sentence and nothing deployed.

A real registry and a real Docker Engine; the images are small, and hold what this project's hold. A stand-in for gcloud
copies them by way of Docker, which keeps the digest of what Docker itself has packed, and of nothing else.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, missing
from tests.container.conftest import DOCKER, docker, engine  # noqa: F401  # a fixture
from tests.pipeline.conftest import COMMIT, complaint, python, run
from tests.pipeline.registry import Registry, started

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine")]

DEV, PROD = "my-project/classifier-dev", "my-project/classifier-prod"
FILES = {
    "app/sbom.cdx.json": b"{}",
    "app/model/manifest.json": b'{"samples": []}',
    "app/model/samples/digit-5.png": b"a picture",
}
# gcloud container images add-tag FROM TO --quiet
COPYING = f"""#!/usr/bin/env bash
set -euo pipefail
test "$1 $2 $3 $6" = "container images add-tag --quiet"
{DOCKER} pull --quiet "$4" && {DOCKER} tag "$4" "$5" && {DOCKER} push --quiet "$5"
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with started(tmp_path_factory.mktemp("registry")) as running:
        yield running
        names = docker("images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}", check=False).stdout.splitlines()
        ours = {name.split()[1] for name in names if name.startswith(running.host)}
        docker("rmi", "--force", *ours, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout, beside a stand-in for gcloud."""
    folder = tmp_path / "checkout"
    for name in ("infra", "pipeline"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    gcloud = tmp_path / "bin" / "gcloud"
    gcloud.parent.mkdir()
    gcloud.write_text(COPYING)
    gcloud.chmod(0o755)
    return folder


def image(
    registry: Registry, files: dict[str, bytes] = FILES, commit: str = COMMIT, salt: str = "", *, by_docker: bool = True
) -> str:
    """Put an image into the first stack's repository, packed by Docker or otherwise; returns its address by digest."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, content in {**files, "salt": salt.encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    labels = {"org.opencontainers.image.revision": commit} if commit else {}
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["python3"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    repository = f"{DEV}/classifier"
    digest = registry.put_image(repository, commit or "none", config, gzip.compress(layer.getvalue(), 1, mtime=0))
    if by_docker:
        name = f"{registry.host}/{repository}:{commit or 'none'}"
        docker("pull", "--quiet", name)
        docker("push", "--quiet", name)
        digest = registry.digest(repository, commit or "none")
    return f"{registry.host}/{repository}@{digest}"


def promote(
    folder: Path, source: str, target: str = PROD, registry: Registry | None = None, **settings: object
) -> subprocess.CompletedProcess[str]:
    host = registry.host if registry else source.partition("/")[0]
    path = f"{folder.parent / 'bin'}:{os.environ['PATH']}"
    given = {"DOCKER": DOCKER, "PATH": path, **settings}
    return run(python("pipeline.promote", source, f"{host}/{target}"), folder, None, **given)


def refused(folder: Path, result: subprocess.CompletedProcess[str]) -> str:
    assert not (folder / ".pipeline" / "digest").exists()
    return complaint(result)


class TestPromoting:
    def test_the_same_digest_is_in_the_other_stacks_repository(self, registry: Registry, folder: Path) -> None:
        source = image(registry)
        digest = source.partition("@")[2]
        containers = docker("ps", "--all", "--quiet").stdout
        result = promote(folder, source)
        assert result.returncode == 0, result.stderr
        (tag,) = registry.tags(f"{PROD}/classifier")
        assert registry.digest(f"{PROD}/classifier", tag) == digest
        assert tag == f"{COMMIT}-{digest.removeprefix('sha256:')[:12]}"
        assert result.stdout.endswith(f"promote: {registry.host}/{PROD}/classifier@{digest}\n")
        assert docker("ps", "--all", "--quiet").stdout == containers

    @pytest.mark.parametrize("place", ["model", "models/resnet18"], ids=["an image", "an image of an earlier commit"])
    def test_what_the_rollout_asks_of_it_is_left(self, place: str, registry: Registry, folder: Path) -> None:
        """In place of what another image left."""
        left = folder / ".pipeline"
        (left / "samples").mkdir(parents=True)
        (left / "samples" / "old.png").touch()
        (left / "url").touch()
        source = image(registry, {name.replace("/model/", f"/{place}/"): content for name, content in FILES.items()})
        assert promote(folder, source).returncode == 0
        found = {str(path.relative_to(left)): path.read_bytes() for path in left.rglob("*") if path.is_file()}
        address = f"{registry.host}/{PROD}/classifier@{source.partition('@')[2]}\n"
        assert found == {
            "digest": address.encode(),
            **{name.removeprefix("app/").removeprefix("model/"): content for name, content in FILES.items()},
        }

    def test_again_it_copies_nothing(self, registry: Registry, folder: Path) -> None:
        source = image(registry)
        promote(folder, source)
        (folder.parent / "bin" / "gcloud").write_text("#!/bin/sh\nexit 1\n")
        assert promote(folder, source).returncode == 0

    def test_two_builds_of_one_commit_do_not_take_each_others_tag(self, registry: Registry, folder: Path) -> None:
        """What has no tag any more is cleared away in time, and a machine may still need it."""
        sources = [image(registry, salt=salt) for salt in ("one", "two")]
        for source in sources:
            assert promote(folder, source).returncode == 0
        held = {registry.digest(f"{PROD}/classifier", tag) for tag in registry.tags(f"{PROD}/classifier")}
        assert {source.partition("@")[2] for source in sources} <= held


class TestNothingIsDeployed:
    def test_a_tag(self, registry: Registry, folder: Path) -> None:
        source = f"{registry.host}/{DEV}/classifier:latest"
        assert refused(folder, promote(folder, source)).startswith(f"the image is {source!r}: expected a digest")

    def test_an_image_that_is_gone(self, registry: Registry, folder: Path) -> None:
        source = f"{registry.host}/{DEV}/classifier@sha256:{'0' * 64}"
        assert refused(folder, promote(folder, source)).startswith(f"{source} cannot be pulled (")

    def test_a_repository_that_may_not_be_written(self, registry: Registry, folder: Path) -> None:
        (folder.parent / "bin" / "gcloud").write_text("#!/bin/sh\necho 'ERROR: Access denied.' >&2\nexit 1\n")
        source = image(registry)
        sentence = refused(folder, promote(folder, source, "my-project/classifier-nobodys"))
        assert sentence.startswith(
            f"{source} cannot be copied to {registry.host}/my-project/classifier-nobodys/classifier:"
        )
        assert "ERROR: Access denied." in sentence

    def test_an_image_that_became_another_on_the_way(self, registry: Registry, folder: Path) -> None:
        source = image(registry, by_docker=False, salt="packed otherwise")
        sentence = refused(folder, promote(folder, source))
        assert sentence.startswith(f"{registry.host}/{PROD}/classifier:{COMMIT}-")
        assert f"has another digest than {source}, so that it is not what was tested" in sentence
        assert "`crane copy " in sentence

    def test_an_image_of_something_else(self, registry: Registry, folder: Path) -> None:
        result = promote(folder, image(registry, files={"app/sbom.cdx.json": b"{}"}))
        assert result.returncode == 1
        assert "the image holds no /app/model/manifest.json: is it one of this project's?" in result.stderr
        assert not (folder / ".pipeline" / "digest").exists()

    def test_an_image_that_does_not_say_its_commit(self, registry: Registry, folder: Path) -> None:
        assert "does not say its commit" in refused(folder, promote(folder, image(registry, commit="")))

    def test_no_engine(self, registry: Registry, folder: Path) -> None:
        result = promote(folder, image(registry), DOCKER="no-such-program")
        assert refused(folder, result).startswith("no-such-program is not installed")

    def test_no_repository(self, folder: Path) -> None:
        sentence = complaint(run(python("pipeline.promote"), folder))
        assert sentence == "expected an image by digest and a repository, HOST/PROJECT/REPOSITORY."


def test_gcloud_itself_copies_byte_for_byte(registry: Registry, folder: Path) -> None:
    """What Docker would pack anew, too. The name of its command is that of a registry which is no more."""
    if shutil.which("gcloud") is None:
        missing("gcloud is not installed: it comes from Google's own source of packages")
    token = folder / "token"
    token.write_text("x")
    source = image(registry, by_docker=False, salt="by gcloud")
    result = promote(
        folder,
        source,
        PATH=os.environ["PATH"],
        CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=token,
        CLOUDSDK_CONFIG=folder / "gcloud",
    )
    assert result.returncode == 0, result.stderr
    assert source.partition("@")[2] in {
        registry.digest(f"{PROD}/classifier", tag) for tag in registry.tags(f"{PROD}/classifier")
    }
