"""The download against a real HTTP server on this machine: whole, broken off, resumed, refused, corrupt."""

from __future__ import annotations

import hashlib
import http.server
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.build.download import Corrupt, Unreachable, fetch
from tests.answering import answering

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 8000  # 2 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Source(http.server.ThreadingHTTPServer):
    """Serves CONTENT as the test wishes, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.accepts_ranges = True
        self.status = 200
        self.content = CONTENT
        self.break_after: list[int] = []  # bytes to send of each of the next answers before the line breaks

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/weights-{DIGEST[:8]}.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        content, status = self.server.content, self.server.status
        if wanted and self.server.accepts_ranges and status == 200:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            status, content = (206, content[start:]) if start < len(content) else (416, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        end = self.server.break_after.pop(0) if self.server.break_after else len(content)
        self.wfile.write(content[:end])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the parameter's name in the base class
        pass


@pytest.mark.parametrize("place", ["file/checkpoints", "file/a/checkpoints"])
def test_a_cache_that_cannot_be_written_is_told_in_a_sentence(place: str, tmp_path: Path) -> None:
    """Before anything is fetched; as Unreachable, so that `auto` goes on with digits."""
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable, match=r"cannot be kept in .*: Not a directory\. Choose a folder with TORCH_HOME"):
        fetch("http://127.0.0.1:9/weights.pth", tmp_path / place / "weights.pth", DIGEST)


@pytest.fixture
def source() -> Iterator[Source]:
    with answering(Source()) as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights.pth"


def test_builds_at_once_fetch_once(source: Source, target: Path) -> None:
    """Two that wrote one part would both find it corrupt."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch(source.url, target, DIGEST), range(4)))
    assert target.read_bytes() == CONTENT
    assert source.ranges == [None]


def left_over(target: Path) -> list[str]:
    return sorted(file.name for file in target.parent.iterdir())


def test_a_file_is_fetched_once_and_shown_arriving(source: Source, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(source.url, target, DIGEST, len(CONTENT), lambda count, total: seen.append((count, total)))
    assert target.read_bytes() == CONTENT
    assert sum(count for count, _ in seen) == len(CONTENT)
    assert len(seen) > 3
    assert {total for _, total in seen} == {len(CONTENT)}
    fetch(source.url, target, DIGEST, len(CONTENT))
    assert source.ranges == [None]
    assert left_over(target) == ["weights.pth"]


def test_a_line_that_breaks_is_continued_where_it_broke(source: Source, target: Path) -> None:
    source.break_after = [700_000, 500_000]
    fetch(source.url, target, DIGEST, len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert source.ranges == [None, "bytes=700000-", "bytes=1200000-"]


def test_what_arrived_is_kept_for_the_next_try(source: Source, target: Path) -> None:
    """Three breaks are one too many; a later call goes on from there."""
    source.break_after = [100_000, 100_000, 100_000]
    with pytest.raises(Unreachable, match=r"continues at 300000 bytes.*put it at .*weights\.pth"):
        fetch(source.url, target, DIGEST, len(CONTENT))
    assert left_over(target) == ["weights.pth.part"]
    seen: list[int] = []
    fetch(source.url, target, DIGEST, len(CONTENT), lambda count, _total: seen.append(count))
    assert seen[0] == 300_000  # the bar starts where the last one ended
    assert target.read_bytes() == CONTENT
    assert source.ranges[-1] == "bytes=300000-"


def test_a_server_without_ranges_starts_again(source: Source, target: Path) -> None:
    source.accepts_ranges = False
    source.break_after = [700_000]
    fetch(source.url, target, DIGEST, len(CONTENT))
    assert target.read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_source_is_thrown_away(source: Source, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("weights.pth.part").write_bytes(bytes(len(CONTENT) + 5))
    fetch(source.url, target, DIGEST)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(("digest", "size"), [("0" * 64, len(CONTENT)), (DIGEST, 5), ("deadbeef", None)])
def test_something_else_is_never_used_or_kept(source: Source, target: Path, digest: str, size: int | None) -> None:
    with pytest.raises(Corrupt, match=re.escape(f"gave {len(CONTENT)} bytes with SHA-256 {DIGEST}, expected {digest}")):
        fetch(source.url, target, digest, size)
    assert left_over(target) == []


def test_a_damaged_file_in_the_cache_is_noticed(source: Source, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"damaged")
    with pytest.raises(Corrupt):
        fetch(source.url, target, DIGEST)
    fetch(source.url, target, DIGEST)
    assert target.read_bytes() == CONTENT


def test_the_first_digits_of_a_hash_suffice_where_no_more_are_known(source: Source, target: Path) -> None:
    assert fetch(source.url, target, DIGEST[:8]) == target


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_an_error_with_its_reason(source: Source, target: Path, status: int) -> None:
    source.status, source.content = status, b"no"
    with pytest.raises(Unreachable, match="cannot be fetched"):
        fetch(source.url, target, DIGEST)
    assert not target.exists()


def test_nobody_there_is_an_error_with_the_remedy(target: Path) -> None:
    with pytest.raises(Unreachable, match="Check the network and try again"):
        fetch("http://127.0.0.1:9/weights.pth", target, DIGEST)


def test_other_schemes_are_refused(target: Path) -> None:
    with pytest.raises(ValueError, match="expected an http or https address"):
        fetch("file:///etc/passwd", target, DIGEST)
