"""The check before a test: the service is known by its answers, and everyone else is named in one sentence."""

from __future__ import annotations

import pytest

from loadtest.errors import LoadTestError
from loadtest.measure.endpoint import IAP_TOKEN, TOKEN, endpoint
from loadtest.measure.service import Service
from loadtest.plan.bodies import Body
from tests.loadtest.scripted import Answer, answer, problem, serving
from tests.server import free_port

BODY = Body(b"picture", "image/jpeg", 1)


def complaint(url: str, wait_sec: float = 0) -> str:
    with pytest.raises(LoadTestError) as caught:
        Service(endpoint(url, environ={})).check(BODY, wait_sec)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_service_is_known_by_its_answers() -> None:
    with serving() as server:
        assert Service(endpoint(server.url, environ={})).check(BODY)["version"] == "1"


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
        assert server.seen == []  # no picture


def test_a_service_whose_pictures_are_answered_otherwise_is_another() -> None:
    with serving(lambda _: answer(200, {"class": 7})) as server:
        assert "brought '200 that is no answer of this service'" in complaint(server.url)
    with serving(lambda _: answer(404, "nothing")) as server:
        assert "a picture sent to /predict brought '404" in complaint(server.url)


def test_who_is_warming_up_is_waited_for() -> None:
    with serving(readyz=problem(503, "not-ready")) as server:
        service = Service(endpoint(server.url, environ={}))
        with pytest.raises(LoadTestError, match="is not ready"):
            service.check(BODY, 0.3)
        server.pages = {**server.pages, "/readyz": answer(200, {"status": "ready"})}
        assert service.check(BODY, 0.3)


def test_tokens_of_the_environment_are_sent_with_every_picture() -> None:
    environ = {TOKEN: " abc.def ", IAP_TOKEN: "xyz"}
    with serving() as server:
        Service(endpoint(server.url, environ=environ)).check(BODY)
        headers = server.seen[0][1]
    assert headers["Authorization"] == "Bearer abc.def"
    assert headers["Proxy-Authorization"] == "Bearer xyz"


def test_figures_of_a_process_that_are_none_are_left_out() -> None:
    """Whoever answers at /metrics may say anything; a test goes on without."""
    said = Answer(200, b"process_cpu_seconds_total many\nprocess_resident_memory_bytes NaN\nprocess_x 1\n", {})
    with serving(metrics=said) as server:
        assert Service(endpoint(server.url, environ={})).process() == {}
