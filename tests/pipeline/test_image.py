"""The steps that handle an image, run for real: built, started, asked, listed, pushed to a registry of this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import answers
from pipeline.osv import Package
from tests.conftest import REPOSITORY, missing
from tests.container.conftest import DOCKER, base, context, docker, engine, inspect  # noqa: F401  # fixtures
from tests.pipeline.conftest import COMMIT, complaint, python, run
from tests.pipeline.osv_database import Database, database  # noqa: F401  # a fixture
from tests.pipeline.registry import Registry, started

pytestmark = pytest.mark.image

Step = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with started(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def folder(context: Path, base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811  # fixtures
    """A checkout with a model in models/resnet18 and the pipeline's scripts."""
    folder = tmp_path_factory.mktemp("pipeline") / "checkout"
    shutil.copytree(context, folder)
    for name in ("infra", "pipeline"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cloudbuild.yaml", "cloudbuild-docs.yaml", "cloudbuild-fleet.yaml"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


def settings(registry: Registry | None) -> dict[str, str]:
    flags = ["--network", "host"]
    if certificates := os.environ.get("SSL_CERT_FILE"):
        flags += ["--secret", f"id=ca,src={certificates}"]
    return {
        "COMMIT": COMMIT,
        "DOCKER": DOCKER,
        "DOCKER_FLAGS": " ".join(flags),
        "WEIGHTS": "local",
        "NETWORK": "host",
        "REGISTRY": f"{registry.host}/my-project" if registry else "",
        "REPOSITORY": "classifier-dev",
        "STACK": "dev",
    }


@pytest.fixture(scope="module")
def step(folder: Path, registry: Registry) -> Iterator[Step]:
    """Runs a step in the checkout; the candidate is gone afterwards."""

    def run_step(*command: str, **more: object) -> subprocess.CompletedProcess[str]:
        return run(list(command), folder, None, **{**settings(registry), **more})

    yield run_step
    docker("rm", "--force", "candidate", check=False)


@pytest.fixture(scope="module")
def built(step: Step, registry: Registry) -> Iterator[str]:
    """The image, built by the step `build` for the registry."""
    result = step("bash", "pipeline/build.sh")
    assert result.returncode == 0, result.stderr[-3000:]
    name = f"{registry.host}/my-project/classifier-dev/classifier:{COMMIT}"
    yield name
    # By name: by its number an image would lose the names that other tests gave it, too.
    names = docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    docker("rmi", "--force", *[tag for tag in names if tag.startswith(registry.host)], check=False)


@pytest.fixture(scope="module")
def candidate(step: Step, built: str, folder: Path) -> str:
    """The image, started by the step `start`; returns its address."""
    result = step("bash", "pipeline/start.sh")
    assert result.returncode == 0, result.stderr
    return (folder / ".pipeline" / "url").read_text().strip()


def test_the_image_carries_its_commit(built: str) -> None:
    assert inspect(built)["Config"]["Labels"]["org.opencontainers.image.revision"] == COMMIT


def test_the_build_leaves_its_layers_for_the_next(built: str, registry: Registry) -> None:
    assert registry.tags("my-project/classifier-dev/cache/image") == ["latest"]
    assert registry.tags("my-project/classifier-dev/classifier") == []  # the image itself has passed no test yet


def test_the_candidate_runs_as_in_production(candidate: str, built: str) -> None:
    found = inspect("candidate")
    assert found["Config"]["Image"] == built
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["NanoCpus"] == 2_000_000_000  # what the targets were written for
    assert answers.Service(candidate).request("/version")[2]["commit"] == COMMIT


def test_known_answers_are_right(candidate: str, step: Step) -> None:
    result = step(*python("pipeline.answers"))
    assert result.returncode == 0, result.stderr
    assert f"known answers are right at {candidate}" in result.stdout


def test_a_known_answer_that_is_wrong_stops_the_build(candidate: str, step: Step, folder: Path) -> None:
    file = folder / ".pipeline" / "manifest.json"
    original = file.read_text()
    manifest = json.loads(original)
    for recorded in manifest["samples"][1]["answers"].values():
        recorded[0][1] /= 2
    file.write_text(json.dumps(manifest))
    sentence = complaint(step(*python("pipeline.answers")))
    file.write_text(original)
    assert sentence.startswith(f"the known answer for {manifest['samples'][1]['file']} is wrong: class")
    assert sentence.endswith("Nothing was pushed or changed.")


def contents(step: Step, database: Database, **more: object) -> subprocess.CompletedProcess[str]:  # noqa: F811
    return step(*python("pipeline.contents"), OSV_URL=database.url, **more)


def test_the_image_holds_what_is_pinned_and_nothing_known_to_be_vulnerable(
    candidate: str,
    step: Step,
    database: Database,  # noqa: F811  # the fixture
) -> None:
    result = contents(step, database)
    assert result.returncode == 0, result.stderr
    assert "no vulnerability that could be mended is known" in result.stdout


def test_a_known_vulnerability_stops_the_build(candidate: str, step: Step, database: Database) -> None:  # noqa: F811
    """Of a Python package, and of a source package of Debian's in the release that the base image is."""
    for package in (Package("PyPI", "pillow", ""), Package("Debian:12", "glibc", "")):
        database.add(package, f"TEST-{package.name}", "99")
    result = contents(step, database)
    assert complaint(result).startswith("the image holds known vulnerabilities, listed above")
    assert re.findall(r"^contents: (\w+) \S+: TEST-\w+ \(fixed in 99\)$", result.stdout, re.MULTILINE) == [
        "glibc",
        "pillow",
    ]


def test_a_database_that_cannot_be_asked_stops_the_build(candidate: str, step: Step) -> None:
    result = step(*python("pipeline.contents"), OSV_URL="http://127.0.0.1:9")
    assert [line for line in result.stderr.splitlines() if line.startswith("pipeline: nobody could say whether")]
    assert result.returncode == 1


def test_contents_that_are_not_the_pinned_ones_stop_the_build(candidate: str, step: Step, folder: Path) -> None:
    other = folder / "other.txt"
    other.write_text((folder / "requirements" / "serve.txt").read_text().replace("pillow==", "pillow==9"))
    sentence = complaint(step(*python("pipeline.contents"), REQUIREMENTS="other.txt"))
    assert "the image does not hold what other.txt says for int8 (different: pillow" in sentence


def test_a_digest_is_what_the_registry_says(step: Step, built: str, folder: Path, registry: Registry) -> None:
    """Also where the image carries digests of other registries."""
    result = step("bash", "pipeline/push.sh")
    assert result.returncode == 0, result.stderr
    repository = "my-project/classifier-dev/classifier"
    assert (folder / ".pipeline" / "digest").read_text().strip() == (
        f"{registry.host}/{repository}@{registry.digest(repository, COMMIT)}"
    )


def test_a_registry_that_is_not_there_stops_the_push(step: Step, built: str) -> None:
    nowhere = "localhost:9/my-project/classifier-dev/classifier"
    docker("tag", built, f"{nowhere}:{COMMIT}")
    try:
        sentence = complaint(step("bash", "pipeline/push.sh", REGISTRY="localhost:9/my-project"))
    finally:
        docker("rmi", f"{nowhere}:{COMMIT}")
    assert sentence == f"{nowhere}:{COMMIT} cannot be pushed: see above. The fleet runs on unchanged."


def derived(built: str, registry: Registry, tmp_path: Path, commit: str, *lines: str) -> None:
    """Make an image from the built one, as another commit's."""
    (tmp_path / "Dockerfile").write_text("\n".join([f"FROM {built}", *lines]) + "\n")
    name = f"{registry.host}/my-project/classifier-dev/classifier:{commit}"
    docker("build", "--quiet", "--network", "host", "--tag", name, str(tmp_path))


class TestUnfit:
    """Images that must not get further than this machine."""

    def test_one_that_fails_its_known_answers(self, built: str, step: Step, registry: Registry, tmp_path: Path) -> None:
        """The model is whole by its own manifest, and answers otherwise than was recorded."""
        show = "print(open('/app/model/manifest.json').read())"
        manifest = json.loads(
            docker("run", "--rm", "--network", "none", "--entrypoint", "python3", built, "-c", show).stdout
        )
        for recorded in manifest["samples"][0]["answers"].values():
            recorded[0][1] = 0.01
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        derived(built, registry, tmp_path, "1" * 40, "COPY manifest.json /app/model/manifest.json")
        sentence = complaint(step("bash", "pipeline/start.sh", COMMIT="1" * 40))
        assert sentence.startswith("the image must not run: it does not become ready: ")
        assert "known-answer test failed: samples/" in sentence
        assert sentence.endswith("Nothing was pushed or changed.")

    def test_one_that_holds_a_shell(
        self,
        built: str,
        base: str,  # noqa: F811  # the fixture
        step: Step,
        registry: Registry,
        tmp_path: Path,
    ) -> None:
        derived(built, registry, tmp_path, "2" * 40, f"COPY --from={base} /bin/sh /usr/bin/sh")
        sentence = complaint(step("bash", "pipeline/start.sh", COMMIT="2" * 40))
        assert sentence.startswith("the image must not run: it holds the program sh.")

    def test_one_that_ends_by_itself(self, built: str, step: Step, registry: Registry, tmp_path: Path) -> None:
        derived(built, registry, tmp_path, "3" * 40, "ENV ENGINE=tpu")
        result = step("bash", "pipeline/start.sh", COMMIT="3" * 40)
        assert complaint(result).startswith("the image ended by itself, see its log above")
        assert "ENGINE='tpu'" in result.stderr

    @pytest.mark.parametrize(
        ("flag", "finding"),
        [
            ("--read-only", "it can write to"),
            ("--cap-drop=ALL", "it keeps capabilities"),
            ("--security-opt=no-new-privileges", "it may gain privileges"),
            ("--pids-limit=3072", "without limits of memory or processes"),
        ],
    )
    def test_one_that_is_started_without_its_flags(
        self, flag: str, finding: str, built: str, step: Step, folder: Path
    ) -> None:
        flags = folder / "container" / "run.flags"
        original = flags.read_text()
        flags.write_text(original.replace(flag + "\n", ""))
        try:
            assert finding in complaint(step("bash", "pipeline/start.sh"))
        finally:
            flags.write_text(original)

    def test_one_that_cannot_be_built(self, step: Step, folder: Path) -> None:
        file = folder / "requirements" / "serve.txt"
        original = file.read_text()
        file.write_text("no-such-package-anywhere==1.0 --hash=sha256:" + "0" * 64 + "\n")
        try:
            result = step("bash", "pipeline/build.sh", COMMIT="4" * 40, REGISTRY="")
        finally:
            file.write_text(original)
        assert complaint(result) == "the image cannot be built: see above. Nothing was pushed or changed."


def test_a_pull_request_leaves_the_main_branchs_layers_alone(step: Step, built: str, registry: Registry) -> None:
    """It reads them, and writes its own: what a stranger builds never gets into an image that is deployed."""
    before = registry.digest("my-project/classifier-dev/cache/image", "latest")
    result = step("bash", "pipeline/build.sh", REPOSITORY="classifier-dev-pull-requests", COMMIT="5" * 40)
    assert result.returncode == 0, result.stderr[-2000:]
    assert registry.digest("my-project/classifier-dev/cache/image", "latest") == before
    assert registry.tags("my-project/classifier-dev-pull-requests/cache/image") == ["latest"]


def test_a_cache_that_the_registry_forgot_is_made_anew(step: Step, built: str, registry: Registry) -> None:
    """As its cleanup rule does to all that lies below cache/."""
    registry.forget("my-project/classifier-dev/cache/image")
    assert registry.tags("my-project/classifier-dev/cache/image") == []
    result = step("bash", "pipeline/build.sh")
    assert result.returncode == 0, result.stderr[-2000:]
    assert registry.tags("my-project/classifier-dev/cache/image") == ["latest"]


@pytest.fixture
def fresh_engine(base: str, tmp_path: Path) -> Iterator[str]:  # noqa: F811  # the fixture
    """Another Docker Engine, which has the base image and nothing else, as a machine of Cloud Build's has."""
    if shutil.which("dockerd") is None:
        missing("dockerd is not installed")
    # A socket's path is short.
    place = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    address = f"unix://{place}/docker.sock"
    options = ["--data-root", str(tmp_path / "data"), "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid"]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            ["dockerd", "--iptables=false", "--bridge=none", "--host", address, *options], stdout=log, stderr=log
        )
    try:
        for _ in range(120):
            if subprocess.run([DOCKER, "--host", address, "info"], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.25)
        else:
            missing(f"a second Docker Engine does not start: {(place / 'log').read_text()[-1000:]}")
        with subprocess.Popen([DOCKER, "save", base], stdout=subprocess.PIPE) as saved:
            subprocess.run([DOCKER, "--host", address, "load"], stdin=saved.stdout, check=True, capture_output=True)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(place, ignore_errors=True)


def test_a_fresh_machine_builds_from_the_registrys_layers(
    built: str, fresh_engine: str, step: Step, registry: Registry
) -> None:
    """Cloud Build's machines remember nothing: without the cache every build would install everything again."""
    result = step("bash", "pipeline/build.sh", COMMIT="6" * 40, DOCKER_HOST=fresh_engine)
    assert result.returncode == 0, result.stderr[-3000:]
    assert [line for line in result.stderr.splitlines() if "Successfully installed" in line] == []
    name = f"{registry.host}/my-project/classifier-dev/classifier:{'6' * 40}"
    layers = json.loads(
        subprocess.run([DOCKER, "--host", fresh_engine, "inspect", name], check=True, capture_output=True).stdout
    )[0]["RootFS"]["Layers"]
    assert layers == inspect(built)["RootFS"]["Layers"]


def test_a_release_check_goes_through_every_gate_and_pushes_nothing(
    folder: Path,
    built: str,
    registry: Registry,
    database: Database,  # noqa: F811  # the fixture
) -> None:
    """`make release-check`, but for the step `tests`, of which this test is a part."""
    (folder / "pipeline" / "tests.sh").write_text("echo tests\n")
    (folder / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
    link = folder / ".venv" / "bin" / "python"
    if not link.exists():
        link.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        link.chmod(0o755)
    pushed = registry.tags("my-project/classifier-dev/classifier")
    given = {**settings(None), "OSV_URL": database.url, "PYTHONPATH": REPOSITORY, "SCENARIO": "smoke"}
    result = run(python("pipeline.steps", "check"), folder, None, **given)
    assert result.returncode == 0, (result.stdout[-2000:], result.stderr[-2000:])
    assert result.stdout.endswith("release-check: this commit may be pushed\n")
    assert registry.tags("my-project/classifier-dev/classifier") == pushed
    assert docker("inspect", "candidate", check=False).returncode != 0
