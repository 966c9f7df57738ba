"""The way to the service: addresses, tokens, and everyone who is not the service. One sentence each."""

from __future__ import annotations

import pytest

from loadtest.errors import LoadTestError
from loadtest.measure.access import IAP_TOKEN, TOKEN, Service, target
from loadtest.plan.bodies import Body
from tests.loadtest.scripted import answer, problem, serving
from tests.server import free_port

BODY = Body(b"picture", "image/jpeg", 1)


def complaint(url: str, wait_sec: float = 0) -> str:
    with pytest.raises(LoadTestError) as caught:
        Service(target(url, environ={})).check(BODY, wait_sec)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_service_is_known_by_its_answers() -> None:
    with serving() as server:
        assert Service(target(server.url, environ={})).check(BODY)["version"] == "1"


def test_nobody_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert complaint(url) == (
        f"{url} cannot be reached: Connection refused. Is the service running, and is this its address?"
    )


def test_a_name_that_does_not_exist() -> None:
    assert "cannot be reached" in complaint("http://no-such-host.invalid")


@pytest.mark.parametrize(
    ("pages", "part"),
    [
        ({"readyz": answer(404, "no")}, "another service than the one that this tests: /readyz answers 404"),
        ({"readyz": answer(200, "Hello")}, "another service than the one that this tests: /readyz answers"),
        ({"version": answer(404, "no")}, "/version answers 404"),
        ({"version": answer(200, {"name": "other"})}, '/version says {"name": "other"}'),
        ({"readyz": problem(503, "not-ready")}, "is not ready: Because of the script."),
        ({"readyz": answer(401, "no")}, f"asks for a token (401): set {TOKEN} or {IAP_TOKEN}"),
        ({"readyz": answer(403, "no")}, "does not let this machine in (403): add its address to the allowlist"),
        ({"readyz": answer(302, "", Location="https://accounts.google.com/o")}, "asks for a sign-in (Identity-Aware"),
        ({"readyz": answer(301, "", Location="https://other.example/")}, "redirects to https://other.example/"),
    ],
)
def test_someone_else_answers(pages: dict[str, object], part: str) -> None:
    with serving(**pages) as server:  # type: ignore[arg-type]  # answers, all of them
        assert part in complaint(server.url)


def test_a_service_whose_pictures_are_answered_otherwise_is_another() -> None:
    with serving(lambda _: answer(200, {"class": 7})) as server:
        assert "brought '200 that is no answer of this service'" in complaint(server.url)
    with serving(lambda _: answer(404, "nothing")) as server:
        assert "a picture sent to /predict brought '404" in complaint(server.url)


def test_who_is_warming_up_is_waited_for() -> None:
    with serving(readyz=problem(503, "not-ready")) as server:
        service = Service(target(server.url, environ={}))
        with pytest.raises(LoadTestError, match="is not ready"):
            service.check(BODY, 0.3)
        server.pages = {**server.pages, "/readyz": answer(200, {"status": "ready"})}
        assert service.check(BODY, 0.3)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "ftp://example.com",
        "http://",
        "http://x/predict",
        "http://x?y",
        "http://u:p@x",
        "http://x:99999",
    ],
)
def test_what_is_no_address_is_named(host: str) -> None:
    with pytest.raises(LoadTestError, match="is no address of a service"):
        target(host, environ={})


def test_tokens_of_the_environment_are_sent_with_every_picture() -> None:
    environ = {TOKEN: " abc.def ", IAP_TOKEN: "xyz"}
    with serving() as server:
        Service(target(server.url, environ=environ)).check(BODY)
        headers = server.seen[0][1]
    assert headers["Authorization"] == "Bearer abc.def"
    assert headers["Proxy-Authorization"] == "Bearer xyz"


def test_a_token_never_crosses_a_network_in_the_clear() -> None:
    with pytest.raises(LoadTestError, match="in the clear"):
        target("http://pictures.example.com", environ={TOKEN: "abc"})
    assert target("https://pictures.example.com", environ={TOKEN: "abc"}).headers
    assert target("http://127.0.0.1:8080", environ={TOKEN: "abc"}).local


def test_a_token_with_a_line_break_is_refused() -> None:
    with pytest.raises(LoadTestError, match=f"{TOKEN} holds no token"):
        target("https://x.example", environ={TOKEN: "a\nb"})
