"""Pages: links lead somewhere, each is in the index and says for whom it is, what is dated has its day."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.conftest import REPOSITORY
from tests.docs.documents import PAGES, Page, anchor

SOURCES = ("container", "infra", "loadtest", "pipeline", "service")


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("Settings", "settings"),
        ('How is "pictures never leave" enforced?', "how-is-pictures-never-leave-enforced"),
        ("Why is `openvino-telemetry` left out?", "why-is-openvino-telemetry-left-out"),
        ("速度", "速度"),
    ],
)
def test_anchors_are_githubs(heading: str, name: str) -> None:
    assert anchor(heading) == name


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_anchors_lead_somewhere(page: Page) -> None:
    for link in page.links:
        path, _, name = link.partition("#")
        if "://" in path:
            continue
        file = (REPOSITORY / page.path).parent / path if path else REPOSITORY / page.path
        assert file.resolve().is_relative_to(REPOSITORY), link
        assert file.exists(), f"{page.path} links to {link}, which is not there"
        if name:
            other = Page(str(file.resolve().relative_to(REPOSITORY)))
            assert name in other.anchors, f"{page.path} links to {link}: {other.path} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_line_of_a_paragraph_begins_with_a_comment(page: Page) -> None:
    """Markdown would end the paragraph there, and show what follows as it is written."""
    assert re.findall(r"^.+\n<!--.*-->.*[^\n].*$", re.sub(r"<!-- make bench .*", "", page.text), re.MULTILINE) == []


def test_files_that_are_named_are_there() -> None:
    """In code of the text: `service/model/images.py`; without the folder where a whole one stands before it."""
    tops = {path.name for path in REPOSITORY.iterdir()} - {"models", "reports", "wheels"}
    for page in PAGES:
        for name in re.findall(r"`([\w.-]+/[\w./-]*)`", page.prose):
            # A published benchmark is there from the first `python -m loadtest.bench --publish` on.
            if name.split("/")[0] in tops and name != "docs/bench.json":
                assert (REPOSITORY / name).exists(), f"{page.path} names {name}"


def test_the_index_has_every_page() -> None:
    index = {(REPOSITORY / "docs" / link.partition("#")[0]).resolve() for link in Page("docs/README.md").links}
    assert index >= {(REPOSITORY / page.path).resolve() for page in PAGES} - {REPOSITORY / "docs" / "README.md"}


@pytest.mark.parametrize("page", [page for page in PAGES if not page.path.startswith("README")], ids=str)
def test_a_page_begins_with_one_heading_and_says_for_whom_it_is(page: Page) -> None:
    assert re.match(r"# .+\n\n(.*\n)*?For (\w+ )*?(who|whoever|anyone)\b", page.text), page.path
    assert [level for level, _ in page.headings].count(1) == 1


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_blocks_of_code_say_what_they_are(page: Page) -> None:
    """`sh` is typed, `console` shows the answer too, and both are tested; the others are looked at."""
    assert {block.language for block in page.blocks} <= {"sh", "console", "text", "ini", "nginx", "python", "json"}
    assert page.text.count("```") == 2 * len(page.blocks)
    assert "﻿" not in page.text


def test_what_the_code_says_about_documents_is_there() -> None:
    """Messages and comments that name a page of docs/, a heading of it, or README."""
    below = (file for folder in SOURCES for file in (REPOSITORY / folder).rglob("*"))
    for file in (*below, *REPOSITORY.iterdir()):
        if file.name in ("Makefile", "Dockerfile") or file.suffix in (".py", ".sh", ".toml", ".yaml", ".html"):
            for path, name in re.findall(r"\b(docs/[a-z]+\.md)(?:#([\w-]+))?", file.read_text("utf-8")):
                assert (REPOSITORY / path).exists(), f"{file} names {path}"
                assert not name or name in Page(path).anchors, f"{file} names {path}#{name}"


def test_a_decision_is_a_question_with_its_date_and_in_the_contents() -> None:
    page = Page("docs/decisions.md")
    assert {f"#{anchor(heading)}" for level, heading in page.headings if level == 2} <= set(page.links)
    text = page.text
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert sections
    assert [one.partition("\n")[0] for one in sections if not re.match(r".*\?\n\n\*20\d\d-\d\d-\d\d\.?\*\s", one)] == []


def test_surprises_have_a_day_and_the_newest_comes_first() -> None:
    items = re.findall(r"^- \*\*(\S+)", Page("docs/surprises.md").text, re.MULTILINE)
    days = [item.rstrip(",") for item in items]
    assert [day for day in days if not re.fullmatch(r"20\d\d-\d\d-\d\d", day)] == []
    assert days == sorted(days, reverse=True)


@cache
def _messages() -> list[re.Pattern[str]]:
    """Return every text that the code could print, as a pattern: what is filled in matches anything."""

    def literal(text: str) -> str:
        return re.escape(re.sub(r"\s+", " ", text))

    found = [
        # What `make` says before there is a Python of the project's own.
        ".+?".join(map(literal, re.split(r'" \+ .*? \+ "', text)))
        for text in re.findall(r'sys\.exit\("(.*)"\)', (REPOSITORY / "Makefile").read_text("utf-8"))
    ]
    for folder in SOURCES:
        for file in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(literal(node.value))
                elif isinstance(node, ast.JoinedStr):
                    found.append(
                        "".join(literal(str(p.value)) if isinstance(p, ast.Constant) else ".*?" for p in node.values)
                    )
    return [re.compile(text) for text in found if len(re.sub(r"\.[*+]\?", "", text)) > 30]


def test_troubleshooting_shows_messages_as_the_code_prints_them() -> None:
    blocks = [block.text for block in Page("docs/troubleshooting.md").blocks if block.language == "text"]
    assert len(blocks) > 10
    for block in blocks:
        message = re.sub(r"^(Error|pipeline): ", "", " ".join(block.split()))
        assert any(pattern.fullmatch(message) for pattern in _messages()), f"nothing here prints: {message}"
