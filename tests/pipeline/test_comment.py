"""What a pull request is told, by a GitHub on this machine that speaks as much of its interface as is used."""

from __future__ import annotations

import http.server
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import comment
from tests.answering import answering
from tests.pipeline.conftest import NEW, OLD, REGISTRY
from tests.pipeline.fake_google import Answer
from tests.pipeline.scene import Scene
from tests.pipeline.world import World

TOKEN = "a-token"  # noqa: S105  # of nothing
REQUESTS = f"{REGISTRY}-pull-requests/classifier@{NEW.partition('@')[2]}"


class GitHub(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: dict[int, str] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    server: GitHub

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self) -> None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._answer(401, {})
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}").get("body", "")
        if len(body) > 65536:
            return self._answer(422, {})
        comments = self.server.comments
        path, _, query = self.path.partition("?")
        if (self.command, path) == ("GET", "/repos/team/classifier/issues/7/comments"):
            page = int(re.findall(r"\bpage=(\d+)", query)[0]) - 1
            items = [{"id": number, "body": text} for number, text in comments.items()]
            return self._answer(200, items[page * 100 : page * 100 + 100])
        if (self.command, path) == ("POST", "/repos/team/classifier/issues/7/comments"):
            comments[len(comments) + 1] = body
            return self._answer(201, {})
        if self.command == "PATCH" and (match := re.fullmatch(r"/repos/team/classifier/issues/comments/(\d+)", path)):
            comments[int(match[1])] = body
            return self._answer(200, {})
        return self._answer(404, {})

    do_GET = do_POST = do_PATCH = _serve  # noqa: N815  # the base class looks for these

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


@pytest.fixture
def github() -> Iterator[GitHub]:
    with answering(GitHub()) as server:
        yield server


@pytest.fixture
def request_build(
    checkout: Path,
    world: World,
    github: GitHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Scene:
    """A build of a pull request after its image was pushed to the repository for pull requests."""
    (checkout / ".pipeline").mkdir()
    (checkout / ".pipeline" / "digest").write_text(REQUESTS)
    world.deploy(checkout, OLD)
    world.say("secrets", out=f"{TOKEN}\n")
    settings = {
        "REPO_FULL_NAME": "team/classifier",
        "PULL_REQUEST": "7",
        "COMMENT_SECRET": "github-comments",
        "GITHUB_API_URL": f"http://127.0.0.1:{github.server_port}",
    }
    return Scene(checkout, world, monkeypatch, capsys, settings)


def test_a_pull_request_is_told_what_it_would_change(request_build: Scene, github: GitHub) -> None:
    request_build.run("preview")
    (text,) = github.comments.values()
    assert "What this would change in the stack `dev`" in text
    assert "create-replacement classifier-dev-spot" in text
    assert NEW.partition("@")[2][:19] in text


def test_the_preview_is_of_the_tested_bytes_where_machines_may_read(request_build: Scene) -> None:
    """The program refuses an image outside the stack's own repository, and pull requests push to another one."""
    images = []

    def read_configuration(command: list[str]) -> None:
        if "preview" in command:
            file = Path(command[command.index("--config-file") + 1])
            images.append(yaml.safe_load(file.read_text())["config"]["own-cloud-classifier:image"])

    request_build.world.before = read_configuration
    request_build.run("preview")
    assert images == [NEW]


def test_a_preview_changes_nothing_and_locks_nothing(request_build: Scene) -> None:
    """The account that builds pull requests may only read."""
    request_build.run("preview")
    verbs = {call[1] if call[0] == "pulumi" else call[3] for call in request_build.world.calls}
    assert verbs == {"version", "stack", "preview", "access"}


def test_a_preview_does_not_look_at_the_foundations(request_build: Scene) -> None:
    """Whoever builds pull requests may not read them: a refresh would end it."""
    monkeypatch = request_build.monkeypatch
    run = request_build.world.pulumi.run
    seen: list[str] = []

    def watched(words: list[str], environment: Mapping[str, str], folder: Path) -> Answer:
        seen.append(environment.get("PULUMI_OPTION_REFRESH", ""))
        return run(words, environment, folder)

    monkeypatch.setattr(request_build.world.pulumi, "run", watched)
    request_build.run("preview")
    assert "false" in seen


def test_a_second_build_rewrites_its_comment(request_build: Scene, github: GitHub) -> None:
    """Also where it is not on the first page."""
    github.comments = dict.fromkeys(range(1, 131), "somebody else's")
    request_build.run("preview")
    (request_build.folder / ".pipeline" / "digest").write_text(REQUESTS.replace("b" * 64, "c" * 64))
    request_build.run("preview")
    assert len(github.comments) == 131
    assert "sha256:cccc" in github.comments[131]


def test_a_long_preview_is_cut() -> None:
    assert "(cut; all of it is in the build's log)" in comment.body("dev", NEW, "~ a line\n" * 10_000)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"PULL_REQUEST": ""}, "this is no pull request"), ({"COMMENT_SECRET": ""}, "no secret with a token was named")],
)
def test_without_a_request_or_a_token_the_preview_is_in_the_log(
    settings: dict[str, str], reason: str, request_build: Scene, github: GitHub
) -> None:
    said = request_build.run("preview", **settings)
    assert reason in said
    assert "create-replacement classifier-dev-spot" in said
    assert github.comments == {}


def test_a_token_that_may_not(request_build: Scene) -> None:
    request_build.world.say("secrets", out="another")
    assert "GitHub answers 401" in request_build.refused("preview")


def test_a_secret_that_cannot_be_read(request_build: Scene) -> None:
    request_build.world.say("secrets", err="ERROR: denied\n", code=1)
    assert request_build.refused("preview").startswith("the secret github-comments cannot be read")


def test_the_token_is_never_printed(request_build: Scene) -> None:
    assert TOKEN not in request_build.run("preview")


def test_a_preview_cannot_end_its_block_of_code() -> None:
    """Three backticks in a resource's description must not turn the rest of the comment into Markdown."""
    assert comment.body("dev", NEW, "```").count("````") == 2


def test_a_stack_without_foundations(request_build: Scene) -> None:
    request_build.world.pulumi.outputs = {}
    assert "has no foundations" in request_build.refused("preview")
