"""README in English and in Chinese: the same sections, commands, links and figures."""

from __future__ import annotations

import re

import pytest

from tests.docs.documents import Page

ENGLISH, CHINESE = Page("README.md"), Page("README.zh-CN.md")
LINES = 120


def figures(text: str) -> list[str]:
    """Return the numbers of a text, without the commas of thousands, in any order: sentences are built otherwise."""
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return sorted(number.replace(",", "") for number in re.findall(r"\d[\d,.:-]*\d|\d", text))


def sections(page: Page) -> list[str]:
    return re.split(r"^## ", page.prose, flags=re.MULTILINE)


def test_figures_are_found_in_both() -> None:
    assert figures("1,000 things, $43.54 in 2026-11, [p99](a.md#7)") == figures(
        "2026-11 时 $43.54；1000 类，[p99](b.md)"
    )
    assert figures("4.5 minutes") != figures("4.4 分钟")


def test_sections_have_the_same_figures_in_the_same_order() -> None:
    english, chinese = sections(ENGLISH), sections(CHINESE)
    assert [level for level, _ in ENGLISH.headings] == [level for level, _ in CHINESE.headings]
    for one, other in zip(english, chinese, strict=True):
        title = one.partition("\n")[0]
        assert figures(one) == figures(other), title
        assert one.count("\n|") == other.count("\n|"), title


def test_commands_are_the_same() -> None:
    """Those of blocks with their answers; and what is set in code in the text."""
    english, chinese = (
        [block.text for block in page.blocks if block.language != "text"] for page in (ENGLISH, CHINESE)
    )
    assert english == chinese
    english, chinese = (sorted(set(re.findall(r"`([^`\n]+)`", page.prose))) for page in (ENGLISH, CHINESE))
    assert set(chinese) - set(english) <= {"PIP_INDEX_URL"}
    assert set(english) <= set(chinese)


def test_links_are_the_same_but_for_the_other_language() -> None:
    english, chinese = (sorted(page.links) for page in (ENGLISH, CHINESE))
    assert [link for link in english if link != CHINESE.path] == [link for link in chinese if link != ENGLISH.path]


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_it_is_short(page: Page) -> None:
    assert page.text.count("\n") <= LINES
