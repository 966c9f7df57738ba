"""The page in a real browser, on a real server: choose, drop, try a sample, read three labels."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, Route, expect
from werkzeug.serving import make_server

from service.model.bundle import Bundle
from service.model.classifier import BundleClassifier
from service.serve.http.application import create_app
from service.serve.http.translations import TEXTS
from service.settings import Settings
from tests import tiny_bundle as tiny_bundle_of
from tests.server import Server, running


@pytest.fixture(scope="module")
def server(digits_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("page"), MODEL_DIR=digits_bundle.path) as started:
        yield started


class Visit:
    """A page with everything that it asked for and complained about."""

    def __init__(self, browser: Browser, server: Server, path: str = "/", locale: str = "en-US") -> None:
        self.context = browser.new_context(locale=locale, viewport={"width": 900, "height": 1000})
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"http://127.0.0.1:{server.port}{path}")


def assert_three_labels(page: Page, first: str) -> None:
    rows = page.locator("#labels li")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text(first)
    expect(rows.first).to_contain_text(re.compile(r"\d+\.\d %"))
    expect(page.locator("#error")).to_be_hidden()


def test_a_chosen_picture_is_previewed_and_classified(browser: Browser, server: Server, digits_bundle: Bundle) -> None:
    visit = Visit(browser, server)
    page = visit.page
    expect(page.locator("#classify")).to_be_disabled()
    page.locator("#file").set_input_files(digits_bundle.path / "samples" / "digit-8.png")
    expect(page.locator("#preview")).to_be_visible()
    page.locator("#classify").click()
    assert_three_labels(page, "8")
    bar = page.locator("#labels .bar div").first
    expect(bar).to_have_attribute("style", re.compile(r"width: [6-9]\d"))
    if folder := os.environ.get("SCREENSHOTS"):
        page.wait_for_timeout(600)
        page.screenshot(path=Path(folder) / "page.png", full_page=True)
    assert visit.complaints == []
    visit.context.close()


def test_a_dropped_picture_is_classified(browser: Browser, server: Server, digits_bundle: Bundle) -> None:
    visit = Visit(browser, server)
    data = list((digits_bundle.path / "samples" / "digit-2.png").read_bytes())
    transfer = visit.page.evaluate_handle(
        "data => { const t = new DataTransfer(); t.items.add(new File([new Uint8Array(data)], '2.png')); return t; }",
        data,
    )
    visit.page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(visit.page.locator("#preview")).to_be_visible()
    visit.page.locator("#classify").click()
    assert_three_labels(visit.page, "2")
    visit.context.close()


def test_a_sample_is_classified_with_one_click(browser: Browser, server: Server) -> None:
    visit = Visit(browser, server)
    expect(visit.page.locator(".sample")).to_have_count(10)
    visit.page.locator(".sample").nth(4).click()
    assert_three_labels(visit.page, "4")
    visit.context.close()


def test_an_answer_is_not_shown_beside_another_picture(browser: Browser, tiny_bundle: Bundle, tmp_path: Path) -> None:
    with running(tmp_path, MODEL_DIR=tiny_bundle.path) as server:
        visit = Visit(browser, server)
        page = visit.page
        waiting: list[Route] = []
        page.route("**/predict*", lambda route: waiting.append(route), times=1)  # noqa: PLW0108  # playwright marks it
        with page.expect_request("**/predict*"):
            page.locator(".sample").nth(0).click()
        page.locator("#file").set_input_files(tiny_bundle.path / "samples" / "green.png")
        expect(page.locator("#preview")).to_have_attribute("alt", "green.png")
        with page.expect_response("**/predict*"):
            waiting[0].continue_()
        page.wait_for_timeout(300)
        expect(page.locator("#result")).to_be_hidden()
        page.locator("#classify").click()
        assert_three_labels(page, "green")
        assert visit.complaints == []
        visit.context.close()


def test_the_page_asks_no_other_host(browser: Browser, server: Server) -> None:
    visit = Visit(browser, server)
    visit.page.locator(".sample").first.click()
    assert_three_labels(visit.page, "0")
    allowed = (f"http://127.0.0.1:{server.port}/", f"blob:http://127.0.0.1:{server.port}/")
    assert [url for url in visit.requests if not url.startswith(allowed)] == []
    assert visit.complaints == []
    visit.context.close()


@pytest.mark.parametrize(("locale", "lang"), [("zh-CN", "zh"), ("en-GB", "en"), ("fr-FR", "en")])
def test_the_browsers_language_is_taken_where_it_is_known(
    browser: Browser, server: Server, locale: str, lang: str
) -> None:
    visit = Visit(browser, server, locale=locale)
    expect(visit.page.locator("h1")).to_have_text(TEXTS[lang]["title"])
    visit.context.close()


def test_chinese_labels_on_the_chinese_page(browser: Browser, server: Server) -> None:
    visit = Visit(browser, server, "/?lang=zh")
    expect(visit.page.locator(".warning")).to_have_text(TEXTS["zh"]["digits_warning"])
    visit.page.locator(".sample").nth(6).click()
    assert_three_labels(visit.page, "六")
    if folder := os.environ.get("SCREENSHOTS"):
        visit.page.wait_for_timeout(600)
        visit.page.screenshot(path=Path(folder) / "page-zh.png", full_page=True)
    visit.page.get_by_role("link", name="English").click()
    expect(visit.page.locator("h1")).to_have_text(TEXTS["en"]["title"])
    visit.context.close()


def test_an_error_is_told_in_words(browser: Browser, server: Server) -> None:
    visit = Visit(browser, server)
    visit.page.locator("#file").set_input_files({"name": "notes.png", "mimeType": "image/png", "buffer": b"hello"})
    expect(visit.page.locator("#hint")).to_have_text("notes.png")  # nothing to preview
    visit.page.locator("#classify").click()
    expect(visit.page.locator("#error")).to_contain_text("These 5 bytes are no picture that this service reads")
    expect(visit.page.locator("#result")).to_be_hidden()
    visit.context.close()


def test_a_file_that_is_too_large_is_not_sent(browser: Browser, server: Server, tmp_path: Path) -> None:
    visit = Visit(browser, server)
    (tmp_path / "large.bmp").write_bytes(bytes(20_000_001))
    visit.page.locator("#file").set_input_files(tmp_path / "large.bmp")
    expect(visit.page.locator("#error")).to_have_text("This file is larger than the 20 MB that the server accepts.")
    expect(visit.page.locator("#classify")).to_be_disabled()
    visit.context.close()


@pytest.mark.parametrize("classes", [1, 2, 1000])
def test_a_model_of_any_number_of_classes(browser: Browser, tmp_path: Path, classes: int) -> None:
    tiny_bundle_of.make(tmp_path / "model", classes)
    app = create_app(Settings(), BundleClassifier.open(tmp_path / "model", "onnxruntime", "fp32", 1))
    with make_server("127.0.0.1", 0, app, threaded=True) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.locator(".sample").first.click()
        expect(page.locator("#labels li")).to_have_count(min(3, classes))
        expect(page.locator("#labels li").first).to_contain_text("red")
        page.close()
        server.shutdown()


def test_the_documentation_is_readable(browser: Browser, server: Server) -> None:
    visit = Visit(browser, server, "/docs#overloaded")
    expect(visit.page.locator("tr:target")).to_contain_text("429")
    assert visit.complaints == []
    visit.context.close()


def test_the_page_lets_choose_only_what_is_read(client: FlaskClient) -> None:
    """Offered only these, an iPhone sends a JPEG instead of a HEIC file."""
    accepted = 'accept="image/jpeg,image/png,image/webp,image/gif,image/bmp,image/avif"'
    assert accepted in client.get("/").get_data(as_text=True)


def test_both_languages_have_the_same_texts() -> None:
    assert set(TEXTS["en"]) == set(TEXTS["zh"])
    assert all(TEXTS["zh"].values())
