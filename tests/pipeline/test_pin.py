"""Pinning: every image that the build runs or starts from, found, looked up at its registry, written in place.

The registry is a real one. As Docker Hub and gcr.io, it is asked through a gate that wants a token, and gives it.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline import bootstrap, pin, registries
from pipeline.errors import StepFailed
from tests.answering import answering
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import complaint, python, run
from tests.pipeline.registry import LIST, MANIFEST, Registry, started
from tests.server import free_port

OLD = f"sha256:{'0' * 64}"


class Gate(http.server.BaseHTTPRequestHandler):
    """Stands before a registry: who has no token is told where to get one, as by Docker Hub."""

    registry: Registry
    token_field = "token"  # noqa: S105  # gcr.io calls it so, too; OAuth 2 says access_token
    asked: list[str]

    def do_HEAD(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        if self.headers.get("Authorization") != "Bearer for-everybody":
            self.send_response(401)
            scope = f"repository:{path.removeprefix('/v2/').partition('/manifests/')[0]}:pull"
            realm = f"http://{self.headers['Host']}/token"
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="here",scope="{scope}"')
            self.end_headers()
            return
        upstream = http.client.HTTPConnection("localhost", self.registry.port, timeout=10)
        upstream.request("HEAD", path, headers={"Accept": self.headers["Accept"]})
        answer = upstream.getresponse()
        self.send_response(answer.status)
        self.send_header("Docker-Content-Digest", answer.headers.get("Docker-Content-Digest", ""))
        self.end_headers()
        upstream.close()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = json.dumps({self.token_field: "for-everybody", "expires_in": 300}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers everything with one status."""

    status = 500
    challenge = ""

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        if self.challenge:
            self.send_header("WWW-Authenticate", self.challenge)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with started(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def serve() -> Iterator[contextlib.ExitStack]:
    """Let servers answer until the test ends."""
    with contextlib.ExitStack() as servers:
        yield servers


def listen(servers: contextlib.ExitStack, handler: type[http.server.BaseHTTPRequestHandler]) -> str:
    server = servers.enter_context(answering(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)))
    return f"localhost:{server.server_port}"


@pytest.fixture(params=["token", "access_token"])
def gate(
    request: pytest.FixtureRequest,
    registry: Registry,
    serve: contextlib.ExitStack,
) -> type[Gate]:
    return type("ThisGate", (Gate,), {"registry": registry, "token_field": request.param, "asked": []})


@pytest.fixture(scope="module")
def python_image(registry: Registry) -> dict[str, str]:
    """An image with two variants, as the public ones are; returns what each tag stands for."""
    repository = "library/python"
    one = registry.put_image(repository, "amd64", {"architecture": "amd64"})
    other = registry.put_image(repository, "arm64", {"architecture": "arm64"})
    entries = [
        {
            "mediaType": MANIFEST,
            "digest": digest,
            "size": 1,
            "platform": {"architecture": name, "os": "linux"},
        }
        for name, digest in (("amd64", one), ("arm64", other))
    ]
    both = registry.put_manifest(repository, "3.11", {"mediaType": LIST, "manifests": entries})["digest"]
    return {"amd64": one, "3.11": both}


def files(folder: Path, host: str) -> Path:
    """Write files as the project's are, with this machine's registry for all of them."""
    (folder / "cloudbuild.yaml").write_text(
        "# About it.\n"
        "steps:\n"
        "  - id: one\n"
        f"    name: {host}/library/python:3.11 # why this one\n"
        "    args: [name, 'x:1']\n"
        f"  - name: '{host}/library/python:amd64@{OLD}'\n"
    )
    (folder / "cloudbuild-docs.yaml").write_text("steps: []\n")
    (folder / "cloudbuild-fleet.yaml").write_text(
        f"steps:\n  - id: two\n    name: ${{_MIRROR}}{host}/library/python:3.11\n"
    )
    (folder / "Dockerfile").write_text(
        "# A comment of FROM and --from=nothing.\n"
        f"ARG BASE={host}/library/python:3.11\n"
        "ARG MODEL=one\n"
        "FROM ${BASE} AS tools\n"
        "FROM tools AS model-one\n"
        "FROM model-${MODEL} AS model\n"
        f"FROM --platform=linux/amd64 {host}/library/python:3.11 as other\n"
        f"COPY --from={host}/library/python:amd64 /a /b\n"
        "COPY --from=tools /a /b\n"
        "COPY --from=0 /a /b\n"
        "FROM scratch\n"
    )
    return folder


class TestTheProjectsOwnFiles:
    def test_every_image_of_a_step_is_found(self) -> None:
        for name in ("cloudbuild.yaml", "cloudbuild-docs.yaml", "cloudbuild-fleet.yaml"):
            steps = yaml.safe_load((REPOSITORY / name).read_text("utf-8"))["steps"]
            found = [reference.name for reference in pin.references(REPOSITORY / name)]
            assert found == [
                re.sub(r":[\w.-]+(@sha256:\w+)?$", "", step["name"].removeprefix("${_MIRROR}")) for step in steps
            ]

    def test_what_all_stages_start_from_is_found(self) -> None:
        assert [reference.name for reference in pin.references(REPOSITORY / "Dockerfile")] == ["python"]

    def test_every_file_that_names_images_is_looked_at(self) -> None:
        named = {path.name for pattern in ("cloudbuild*.yaml", "*Dockerfile*") for path in REPOSITORY.glob(pattern)}
        assert named == set(pin.FILES)


def test_every_image_gets_the_digest_that_its_registry_says(
    registry: Registry,
    python_image: dict[str, str],
    tmp_path: Path,
) -> None:
    """Of the list of variants where there is one; comments and everything else stay."""
    folder = files(tmp_path, registry.host)
    before = {name: (folder / name).read_text() for name in pin.FILES}
    result = run(python("pipeline.pin"), folder, PYTHONPATH=REPOSITORY)
    assert result.returncode == 0, result.stderr
    for name, text in before.items():
        expected = text.replace(f"@{OLD}", "")
        for tag, digest in python_image.items():
            expected = expected.replace(f"python:{tag}", f"python:{tag}@{digest}")
        assert (folder / name).read_text() == expected
    assert run(python("pipeline.pin", "--check"), folder, PYTHONPATH=REPOSITORY).returncode == 0


def test_pinning_again_changes_nothing_until_a_tag_moves(
    registry: Registry,
    python_image: dict[str, str],
    tmp_path: Path,
) -> None:
    folder = files(tmp_path, registry.host)
    assert run(python("pipeline.pin"), folder, PYTHONPATH=REPOSITORY).returncode == 0
    once = (folder / "Dockerfile").read_text()
    result = run(python("pipeline.pin"), folder, PYTHONPATH=REPOSITORY)
    assert (folder / "Dockerfile").read_text() == once
    assert result.stdout.count(", as before") == 2
    moved = registry.put_image("library/python", "3.11", {"architecture": "riscv64"})
    run(python("pipeline.pin"), folder, PYTHONPATH=REPOSITORY)
    assert (folder / "Dockerfile").read_text() == once.replace(python_image["3.11"], moved)


def test_a_registry_that_wants_a_token_is_asked_with_one(
    gate: type[Gate], serve: contextlib.ExitStack, python_image: dict[str, str]
) -> None:
    host = listen(serve, gate)
    assert registries.digest(f"{host}/library/python", "amd64") == python_image["amd64"]
    assert gate.asked == ["/token?service=here&scope=repository%3Alibrary%2Fpython%3Apull"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("python", ("registry-1.docker.io", "library/python")),
        ("library/python", ("registry-1.docker.io", "library/python")),
        ("docker.io/library/python", ("registry-1.docker.io", "library/python")),
        ("pulumi/pulumi", ("registry-1.docker.io", "pulumi/pulumi")),
        ("gcr.io/google.com/cloudsdktool/google-cloud-cli", ("gcr.io", "google.com/cloudsdktool/google-cloud-cli")),
        ("localhost:5000/a/b", ("localhost:5000", "a/b")),
        ("localhost/a", ("localhost", "a")),
        ("registry:5000/a", ("registry:5000", "a")),
        # Without a slash it is no host, whatever it looks like.
        ("python.tools", ("registry-1.docker.io", "library/python.tools")),
    ],
)
def test_an_images_name_says_its_registry_as_docker_reads_it(name: str, place: tuple[str, str]) -> None:
    assert registries.address(name) == place


class TestNothingIsWritten:
    """Bad input: one sentence, and files as they were."""

    def refused(self, folder: Path) -> str:
        before = {name: (folder / name).read_text() for name in pin.FILES if (folder / name).exists()}
        sentence = complaint(run(python("pipeline.pin"), folder, PYTHONPATH=REPOSITORY))
        assert {name: (folder / name).read_text() for name in before} == before
        return sentence

    def test_a_tag_that_its_registry_does_not_know(
        self,
        registry: Registry,
        python_image: dict[str, str],
        tmp_path: Path,
    ) -> None:
        folder = files(tmp_path, registry.host)
        (folder / "Dockerfile").write_text(f"FROM {registry.host}/library/python:4\n")
        assert self.refused(folder) == (
            f"the digest of {registry.host}/library/python:4 cannot be had. {registry.host} has no such image or tag "
            "(404): choose one that exists."
        )

    def test_a_registry_that_cannot_be_reached(self, tmp_path: Path) -> None:
        host = f"localhost:{free_port()}"
        assert f"{host} does not answer ([Errno 111] Connection refused)" in self.refused(files(tmp_path, host))

    @pytest.mark.parametrize(
        ("status", "challenge", "reason"),
        [
            (429, "", "has been asked too often from here (429): try again later."),
            (503, "", "answers 503: try again later."),
            (403, "", "shows it to nobody who is not signed in (403): check its name."),
            (401, 'Basic realm="x"', "asks for a sign-in that is not for everybody ('Basic realm=\"x\"')."),
            (401, "", "asks for a sign-in that is not for everybody ('')."),
            (401, 'Basic realm="http://localhost:9/token"', "asks for a sign-in that is not for everybody"),
            (401, 'Bearer realm="https:///token"', "asks for a sign-in that is not for everybody"),
            (401, 'Bearer realm="file:///etc/passwd"', "asks for a sign-in that is not for everybody"),
            (401, 'Bearer realm="http://elsewhere.example/token"', "asks for a sign-in that is not for everybody"),
            (200, "", "answers '', which is none."),
        ],
    )
    def test_a_registry_that_refuses(
        self, status: int, challenge: str, reason: str, serve: contextlib.ExitStack
    ) -> None:
        handler = type("This", (Refusing,), {"status": status, "challenge": challenge})
        host = listen(serve, handler)
        with pytest.raises(StepFailed, match="cannot be had") as stopped:
            registries.digest(f"{host}/a", "1")
        assert f"{host} {reason}" in str(stopped.value)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        assert self.refused(tmp_path) == "cloudbuild.yaml cannot be read: No such file or directory."

    @pytest.mark.parametrize(
        ("line", "sentence"),
        [
            ("FROM ${REGISTRY}/python:3", "names the image ${REGISTRY}/python:3: give it an ARG of its own"),
            ("FROM ${NONE}", "names the image ${NONE}: give it an ARG of its own"),
            ("FROM Python:3", "names the image 'Python:3': write it as NAME:TAG"),
            ("FROM python:3@sha256:12", "names the image 'python:3@sha256:12': write it as NAME:TAG"),
        ],
    )
    def test_an_image_that_cannot_be_rewritten(self, line: str, sentence: str, tmp_path: Path) -> None:
        (tmp_path / "Dockerfile").write_text(f"{line}\n")
        with pytest.raises(StepFailed) as stopped:
            pin.references(tmp_path / "Dockerfile")
        assert sentence in str(stopped.value)

    def test_an_unknown_argument(self, tmp_path: Path) -> None:
        assert complaint(run(python("pipeline.pin", "--chekc"), tmp_path, PYTHONPATH=REPOSITORY)).startswith(
            "the arguments are '--chekc'"
        )


def test_the_check_names_each_image_that_is_not_pinned(tmp_path: Path) -> None:
    folder = files(tmp_path, "localhost:1")
    result = run(python("pipeline.pin", "--check"), folder, PYTHONPATH=REPOSITORY)
    assert result.stdout.splitlines() == [
        f"{place}: localhost:1/library/python:{tag} is not pinned"
        for place, tag in [
            ("cloudbuild.yaml:4", "3.11"),
            ("cloudbuild-fleet.yaml:3", "3.11"),
            ("Dockerfile:2", "3.11"),
            ("Dockerfile:7", "3.11"),
            ("Dockerfile:8", "amd64"),
        ]
    ]
    assert complaint(result).startswith("5 images are whatever their tags mean on the day: run `make pin`")


def made_by_tags(folder: Path) -> Path:
    """Make a checkout with the files that name images, not pinned, and checks that only say that they ran."""
    shutil.copytree(REPOSITORY / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in pin.FILES:
        text = (REPOSITORY / name).read_text("utf-8")
        (folder / name).write_text(re.sub(r"@sha256:[0-9a-f]{64}", "", text))
    (folder / ".ci").mkdir()
    (folder / ".ci" / "run").write_text("echo checked >ran\n")
    return folder


@pytest.mark.parametrize(("network", "goes_on"), [("cloudbuild", False), ("", True)])
def test_cloud_build_stops_where_an_image_is_not_pinned(network: str, goes_on: bool, tmp_path: Path) -> None:
    folder = made_by_tags(tmp_path / "checkout")
    (folder / "Makefile").write_text("lint test:\n\t@echo checked >ran\n")
    result = run(["bash", "pipeline/tests.sh"], folder, NETWORK=network)
    assert "run `make pin`" in result.stderr
    assert (result.returncode == 0, (folder / "ran").exists()) == (goes_on, goes_on)


def test_cloud_build_goes_on_where_all_are_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_by_tags(tmp_path / "checkout")
    monkeypatch.setattr(registries, "digest", lambda *_: OLD)
    monkeypatch.chdir(folder)
    pin.pin([Path(name) for name in pin.FILES])
    assert run(["bash", "pipeline/tests.sh"], folder, NETWORK="cloudbuild").returncode == 0
    assert (folder / "ran").exists()


def test_bootstrap_pins_and_says_what_to_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made_by_tags(tmp_path / "checkout")
    monkeypatch.setattr(registries, "digest", lambda *_: OLD)
    bootstrap.pin_images(folder)
    pin.check([folder / name for name in pin.FILES])
    assert "Commit cloudbuild.yaml" in capsys.readouterr().out
    bootstrap.pin_images(folder)
    assert capsys.readouterr().out == "", "what is pinned is left as it is"


def test_a_registry_out_of_reach_does_not_end_a_bootstrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(name: str, tag: str) -> str:
        raise StepFailed("nobody answers.")

    monkeypatch.setattr(registries, "digest", unreachable)
    bootstrap.pin_images(made_by_tags(tmp_path / "checkout"))
    assert "Cloud Build stops until `make pin` has done it" in capsys.readouterr().out
