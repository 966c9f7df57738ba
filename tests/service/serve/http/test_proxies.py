"""Behind a proxy, in front of a browser: a path of its own, answers that are not the server's, pages of other hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from loadtest.measure.endpoint import endpoint
from loadtest.measure.service import Service
from loadtest.plan.bodies import Body
from service.model.bundle import Bundle
from service.serve.http.translations import TEXTS
from tests.conftest import REPOSITORY, coloured
from tests.proxy import Instead, Proxy, running_proxy
from tests.server import Server, running

pytestmark = pytest.mark.slow

BASE_PATH = "/classifier"
GREEN = coloured((0, 255, 0))


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with running_proxy() as started:
        yield started


@pytest.fixture(scope="module")
def server(tiny_bundle: Bundle, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows its path and the proxy's origin; SCRIPT_NAME is another program's."""
    with running(
        tmp_path_factory.mktemp("proxies"),
        MODEL_DIR=tiny_bundle.path,
        BASE_PATH=BASE_PATH,
        CORS_ORIGINS=f"http://127.0.0.1:{proxy.port}",
        MAX_HEADER_BYTES=12_000,
        SCRIPT_NAME="/elsewhere",
    ) as started:
        proxy.target, proxy.path = started.port, BASE_PATH
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    ("path", "strips"),
    [(f"{BASE_PATH}/", True), (f"{BASE_PATH}/", False), (BASE_PATH, True)],
    ids=["it takes the path off", "it keeps the path", "without a slash"],
)
def test_a_path_of_its_own(server: Server, proxy: Proxy, page: Page, path: str, strips: bool) -> None:
    """The page, its script, style and samples, its links and the types of problems."""
    proxy.strips = strips
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{proxy.port}{path}")
    page.locator(".sample").nth(1).click()
    expect(page.locator("#labels li").first).to_contain_text("green")
    page.get_by_role("link", name=TEXTS["en"]["api"]).click()
    expect(page.locator("pre")).to_contain_text(f"http://127.0.0.1:{proxy.port}{BASE_PATH}/predict")
    page.get_by_role("link", name="Page").click()
    expect(page.locator("h1")).to_have_text(TEXTS["en"]["title"])
    assert complaints == []


@pytest.mark.parametrize("strips", [True, False], ids=["takes the path off", "keeps the path"])
def test_programs_find_it_under_its_path(server: Server, proxy: Proxy, strips: bool) -> None:
    proxy.strips = strips
    through = Server(server.process, proxy.port, server.log)
    problem = through.request("POST", f"{BASE_PATH}/predict", b"no picture").json()
    assert problem["type"] == f"{BASE_PATH}/docs#unsupported-format"
    assert through.request("GET", problem["type"].partition("#")[0]).status == 200
    assert through.request("GET", f"{BASE_PATH}/openapi.json").json()["servers"] == [{"url": BASE_PATH}]
    load = Service(endpoint(f"http://127.0.0.1:{proxy.port}{BASE_PATH}/", environ={}))
    assert load.check(Body(GREEN, "image/png", 1))["model"]["architecture"] == "tiny"


def test_who_knows_no_proxy_asks_for_its_health(server: Server) -> None:
    for path in ("/healthz", "/readyz", f"{BASE_PATH}/healthz"):
        for headers in ({}, {"SCRIPT_NAME": "/elsewhere"}):
            assert server.request("GET", path, headers=headers).status == 200, path
    assert server.request("GET", "/classifiers/healthz").status == 404


def test_without_a_slash_nobody_is_sent_to_the_host_that_a_proxy_asked(server: Server) -> None:
    """Behind HTTPS, or a proxy that names its own host, such an address would be one that browsers cannot reach."""
    answer = server.request("GET", BASE_PATH, headers={"Host": "elsewhere.invalid"})
    assert (answer.status, answer.headers.get("location")) == (200, None)


def test_the_images_health_check_knows_no_path(server: Server) -> None:
    check = [sys.executable, "-S", str(REPOSITORY / "container" / "healthcheck.py")]
    assert subprocess.run(check, env={**os.environ, "PORT": str(server.port)}, check=False).returncode == 0


HTML = {"Content-Type": "text/html"}
BETWEEN = {
    "signed out, as Identity-Aware Proxy says it": (Instead(401, HTML, b"Invalid IAP credentials"), "answer_401"),
    "a redirect to a sign-in page": (Instead(302, {"Location": "https://sign-in.invalid/"}), "answer_401"),
    "a redirect on the same host": (Instead(303, {"Location": "/classifier/"}), "answer_401"),
    "an address that is not allowed": (Instead(403, HTML, b"<h1>Forbidden"), "answer_403"),
    "a file that is too large for a proxy": (Instead(413, HTML, b"<h1>Too large"), "answer_413"),
    "too many requests for a proxy": (Instead(429, HTML, b"<h1>Slow down"), "answer_429"),
    "no machine": (Instead(502, HTML, b"<h1>Bad gateway"), "answer_500"),
    "a drained machine": (Instead(503, HTML, b"no healthy upstream"), "answer_500"),
    "a proxy that waited too long": (Instead(504, HTML), "answer_500"),
    "a gateway that speaks JSON": (
        Instead(403, {"Content-Type": "application/json"}, b'{"message":"no"}'),
        "answer_403",
    ),
    "a web page where the answer should be": (Instead(200, HTML, b"<form>Sign in"), "answer_other"),
    "JSON of something else": (Instead(200, {"Content-Type": "application/json"}, b"null"), "answer_other"),
    "a status of the proxy's own": (Instead(418, HTML), "answer_other"),
    "a connection that breaks": (Instead(0), "offline"),
}


@pytest.mark.parametrize("lang", [*TEXTS])
def test_an_answer_from_in_between_is_told_apart(server: Server, proxy: Proxy, page: Page, lang: str) -> None:
    page.goto(f"http://127.0.0.1:{proxy.port}{BASE_PATH}/?lang={lang}")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": GREEN})
    try:
        for proxy.instead, text in BETWEEN.values():
            page.locator("#classify").click()
            message = TEXTS[lang][text].replace("{status}", str(proxy.instead.status))
            expect(page.locator("#error")).to_have_text(message)
    finally:
        proxy.instead = None
    page.locator("#classify").click()
    expect(page.locator("#labels li").first).to_contain_text("green" if lang == "en" else "绿")


# What is dropped, as DataTransfer is given it: files (name and size in bytes) or text (type and content).
DROPPED = {
    "a picture of another page": ([], {"text/uri-list": "https://x/a.png", "text/html": "<img src=a.png>"}, "no_file"),
    "text": ([], {"text/plain": "hello"}, "no_file"),
    "an empty file": ([["empty.png", 0]], {}, "empty"),
    "a file that is too large": ([["large.png", 20_000_001]], {}, "too_large"),
}


def test_what_is_dropped_and_is_no_picture_leaves_the_one_before(server: Server, proxy: Proxy, page: Page) -> None:
    page.goto(f"http://127.0.0.1:{proxy.port}{BASE_PATH}/")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": GREEN})
    for files, text, key in DROPPED.values():
        for kind, transfer in (("drop", "dataTransfer"), ("paste", "clipboardData")):
            page.evaluate(
                """([kind, transfer, files, text]) => {
                  const data = new DataTransfer();
                  for (const [name, size] of files) data.items.add(new File([new Uint8Array(size)], name));
                  for (const [type, content] of Object.entries(text)) data.setData(type, content);
                  const event = kind === "drop" ? new DragEvent(kind, { [transfer]: data, bubbles: true })
                                                : new ClipboardEvent(kind, { [transfer]: data, bubbles: true });
                  document.getElementById("error").hidden = true;
                  document.getElementById("drop").dispatchEvent(event);
                }""",
                [kind, transfer, files, text],
            )
            message = TEXTS["en"][key].replace("{name}", "empty.png").replace("{limit}", "20")
            expect(page.locator("#error")).to_have_text(message)
            expect(page.locator("#preview")).to_be_visible()
    page.locator("#classify").click()
    expect(page.locator("#labels li").first).to_contain_text("green")


def test_a_folder_or_several_files_are_dropped(server: Server, proxy: Proxy, page: Page, tiny_bundle: Bundle) -> None:
    """As the mouse does it: a script cannot make a folder."""
    page.goto(f"http://127.0.0.1:{proxy.port}{BASE_PATH}/")
    devtools = page.context.new_cdp_session(page)
    samples = tiny_bundle.path / "samples"

    def drop(*paths: object) -> None:
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 100, "y": 200, "data": data})

    drop(samples)
    expect(page.locator("#error")).to_have_text(TEXTS["en"]["unreadable"].replace("{name}", "samples"))
    expect(page.locator("#classify")).to_be_disabled()
    drop(samples / "blue.png", samples / "red.png")
    expect(page.locator("#error")).to_have_text(TEXTS["en"]["first_only"].replace("{count}", "2"))
    page.locator("#classify").click()
    expect(page.locator("#labels li").first).to_contain_text("blue")


def test_a_page_of_another_host_may_ask(server: Server, proxy: Proxy, page: Page) -> None:
    """In a real browser, which asks first (preflight) and hides what the headers do not show."""
    page.goto(f"http://127.0.0.1:{proxy.port}/elsewhere")
    ask = """async ([url, body, headers]) => {
      const response = await fetch(url, { method: "POST", body: new Uint8Array(body), headers });
      return [response.status, (await response.json()).status, response.headers.get("X-Request-ID")];
    }"""
    url = f"http://127.0.0.1:{server.port}/predict"
    headers = {"Content-Type": "image/png", "X-Request-ID": "from-afar", "X-Other": "1"}
    assert page.evaluate(ask, [url, [*GREEN], headers]) == [200, None, "from-afar"]
    assert page.evaluate(ask, [url, [1, 2], headers]) == [415, 415, "from-afar"]
    page.goto(f"http://localhost:{proxy.port}/elsewhere")  # another origin, which is not in the list
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate(ask, [url, [*GREEN], headers])


@pytest.mark.parametrize(
    ("path", "headers", "status", "detail"),
    [
        ("/version", {"Cookie": "a" * 9_000}, 200, None),
        (
            "/version",
            {"Cookie": "a" * 13_000},
            431,
            (
                "The request has more than 100 headers, or one of more than 12000 bytes. Send fewer and shorter ones: "
                "often it is the cookies of a shared domain. The service's setting MAX_HEADER_BYTES raises the second "
                "limit."
            ),
        ),
        (
            "/version?" + "a" * 5_000,
            {},
            414,
            (
                "The request's first line is longer than the 4094 bytes that are accepted. Send the picture in the "
                "body, not in the address."
            ),
        ),
    ],
)
def test_a_head_that_is_too_large_is_told_the_limit(
    server: Server, path: str, headers: dict[str, str], status: int, detail: str | None
) -> None:
    answer = server.request("GET", path, headers=headers)
    assert answer.status == status
    assert json.loads(answer.body).get("detail") == detail
    if detail:
        assert answer.json()["type"].startswith(f"{BASE_PATH}/docs#")
