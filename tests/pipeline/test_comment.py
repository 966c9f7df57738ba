"""What a pull request is told, by a GitHub on this machine that speaks as much of its interface as is used."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import comment
from tests.pipeline.conftest import COMMIT, NEW, OLD, REGISTRY, Tools, complaint, python, recorded, run

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
    with GitHub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def request_build(checkout: Path, tools: Tools) -> Path:
    """A checkout of a pull request after its image was pushed to the repository for pull requests."""
    (checkout / ".pipeline").mkdir()
    (checkout / ".pipeline" / "digest").write_text(REQUESTS)
    tools.say("stack", "output", "--json", out=json.dumps({"image": OLD, "registry": REGISTRY}))
    tools.say("pulumi", "preview", out=recorded("preview.txt"))
    tools.say("secrets", out=f"{TOKEN}\n")
    return checkout


def preview(folder: Path, tools: Tools, github: GitHub, **settings: object) -> subprocess.CompletedProcess[str]:
    given = {
        "COMMIT": COMMIT,
        "REPO_FULL_NAME": "team/classifier",
        "PULL_REQUEST": 7,
        "COMMENT_SECRET": "github-comments",
        "GITHUB_API_URL": f"http://127.0.0.1:{github.server_port}",
        **settings,
    }
    return run(python("pipeline.rollout", "preview"), folder, tools, **given)


def test_a_pull_request_is_told_what_it_would_change(request_build: Path, tools: Tools, github: GitHub) -> None:
    result = preview(request_build, tools, github)
    assert result.returncode == 0, result.stderr
    (text,) = github.comments.values()
    assert "What this would change in the stack `dev`" in text
    assert "+-1 to replace" in text
    assert NEW.partition("@")[2][:19] in text


def test_the_preview_is_of_the_tested_bytes_where_machines_may_read(
    request_build: Path, tools: Tools, github: GitHub
) -> None:
    """The program refuses an image outside the stack's own repository, and pull requests push to another one."""
    preview(request_build, tools, github)
    (call,) = tools.calls("pulumi", "preview")
    assert f"own-cloud-classifier:image={NEW}" in call


def test_a_preview_changes_nothing(request_build: Path, tools: Tools, github: GitHub) -> None:
    preview(request_build, tools, github)
    verbs = {call[1] if call[0] == "pulumi" else call[3] for call in tools.calls()}
    assert verbs == {"stack", "preview", "access"}


def test_a_second_build_rewrites_its_comment(request_build: Path, tools: Tools, github: GitHub) -> None:
    """Also where it is not on the first page."""
    github.comments = dict.fromkeys(range(1, 131), "somebody else's")
    preview(request_build, tools, github)
    tools.say("pulumi", "preview", out="something else")
    preview(request_build, tools, github)
    assert len(github.comments) == 131
    assert "something else" in github.comments[131]


def test_a_long_preview_is_cut(request_build: Path, tools: Tools, github: GitHub) -> None:
    tools.say("pulumi", "preview", out="~ a line\n" * 10_000)
    assert preview(request_build, tools, github).returncode == 0
    assert "(cut; all of it is in the build's log)" in github.comments[1]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"PULL_REQUEST": ""}, "this is no pull request"), ({"COMMENT_SECRET": ""}, "no secret with a token was named")],
)
def test_without_a_request_or_a_token_the_preview_is_in_the_log(
    settings: dict[str, str], reason: str, request_build: Path, tools: Tools, github: GitHub
) -> None:
    result = preview(request_build, tools, github, **settings)
    assert result.returncode == 0, result.stderr
    assert reason in result.stdout
    assert "+-1 to replace" in result.stdout
    assert github.comments == {}


def test_a_token_that_may_not(request_build: Path, tools: Tools, github: GitHub) -> None:
    tools.say("secrets", out="another")
    assert "GitHub answers 401" in complaint(preview(request_build, tools, github))


def test_a_secret_that_cannot_be_read(request_build: Path, tools: Tools, github: GitHub) -> None:
    tools.say("secrets", err="ERROR: denied\n", code=1)
    sentence = complaint(preview(request_build, tools, github))
    assert sentence.startswith("the secret github-comments cannot be read")


def test_the_token_is_never_printed(request_build: Path, tools: Tools, github: GitHub) -> None:
    result = preview(request_build, tools, github)
    assert TOKEN not in result.stdout + result.stderr


def test_a_preview_cannot_end_its_block_of_code() -> None:
    """Three backticks in a resource's description must not turn the rest of the comment into Markdown."""
    assert comment.body("dev", NEW, "```").count("````") == 2


def test_a_stack_without_foundations(request_build: Path, tools: Tools, github: GitHub) -> None:
    tools.say("stack", "output", "--json", out="{}")
    assert "has no foundations" in complaint(preview(request_build, tools, github))
