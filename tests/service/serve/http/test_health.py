from __future__ import annotations

import dataclasses
import errno
import json
import logging
import logging.config
import re
import threading
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service.errors import EngineError, NotReady
from service.model.classifier import Classifier
from service.serve import lifecycle
from service.serve.http import context
from service.serve.http.application import create_app
from service.serve.lifecycle import Lifecycle
from service.serve.logs import logging_config
from service.serve.metrics import Metrics
from service.serve.server.hooks import hooks_of
from service.serve.services import Services
from service.settings import Settings
from tests.conftest import REPOSITORY, FakeClassifier, coloured

PICTURE = coloured((255, 0, 0))


def test_alive_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "alive"}
    assert client.get("/readyz").json == {"status": "ready"}


def test_not_ready_while_the_model_is_loaded() -> None:
    """The process is alive, says why it is not ready, and becomes ready by itself."""
    services = Services(Settings())
    go = threading.Event()

    def slow() -> Classifier:
        assert go.wait(10)
        return FakeClassifier()

    thread = services.start(slow)
    app = create_app(Settings(), FakeClassifier())
    context.attach(app, services)
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/version").get_json()["model"] is None
    for answer in (client.get("/readyz"), client.post("/predict", data=PICTURE)):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.get_json(force=True)["detail"] == "The model is being loaded. Try again in a second."
    assert client.get("/").status_code == 200
    go.set()
    thread.join(10)
    assert client.get("/readyz").status_code == 200


def test_a_draining_server_says_no_to_the_balancer_and_yes_to_clients(client: FlaskClient) -> None:
    hooks = hooks_of(client.application)
    assert hooks
    hooks.drain()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "stopping" in answer.get_json(force=True)["detail"]
    assert client.post("/predict", data=PICTURE).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert "classifier_ready 0.0" in client.get("/metrics").text


def test_a_server_told_to_drain_while_starting_never_becomes_ready() -> None:
    metrics = Metrics()
    lifecycle = Lifecycle(metrics)
    lifecycle.drain()
    lifecycle.start(FakeClassifier)
    assert b"classifier_ready 0.0" in metrics.render()


def test_a_mistake_while_opening_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Classifier:
        raise ZeroDivisionError("secret")

    services = Services(Settings())
    services.start(broken).join(10)
    with pytest.raises(Exception, match="the log says why"):
        services.lifecycle.check_ready()
    assert any(record.exc_info for record in caplog.records)


def test_an_opening_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_OPENING_LIMIT_SEC", 0.01)
    services = Services(Settings())
    go = threading.Event()

    def stuck() -> Classifier:
        assert go.wait(10)
        return FakeClassifier()

    thread = services.start(stuck)
    assert not services.lifecycle.wait()
    go.set()
    thread.join(10)
    assert services.lifecycle.wait()


@pytest.mark.parametrize(
    ("error", "worth_a_restart"),
    [
        (EngineError("the engine cannot"), False),
        (ZeroDivisionError(), False),
        (PermissionError(errno.EACCES, "denied"), False),
        (MemoryError(), True),
        (OSError(errno.ENFILE, "too many files"), True),
        (RuntimeError("can't start new thread"), True),
        (SystemExit(1), True),
        (GeneratorExit(), True),
    ],
    ids=repr,
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_whatever_ends_the_opening_ends_in_failed(error: BaseException, worth_a_restart: bool, wrapped: bool) -> None:
    """Also where an engine's module gives it another class; a restart is left to what may pass."""

    def failing() -> Classifier:
        if wrapped:
            raise EngineError("cannot load") from error
        raise error

    services = Services(Settings())
    services.start(failing).join(10)
    assert services.lifecycle.wait() is not worth_a_restart
    with pytest.raises(NotReady, match="cannot classify"):
        services.lifecycle.check_ready()


def test_version_says_which_code_and_which_model(client: FlaskClient) -> None:
    app = create_app(Settings(commit="abc123"), FakeClassifier())
    body = app.test_client().get("/version").get_json()
    assert body["commit"] == "abc123"
    assert body["model"] == dataclasses.asdict(FakeClassifier().describe())


def test_metrics_count_and_time_every_stage(client: FlaskClient) -> None:
    client.post("/predict", data=PICTURE)
    client.post("/predict", data=b"hello")
    client.get("/no/such/path")
    text = client.get("/metrics").text
    for line in (
        'classifier_requests_total{route="/predict",status="200"} 1.0',
        'classifier_requests_total{route="/predict",status="415"} 1.0',
        'classifier_requests_total{route="none",status="404"} 1.0',
        'classifier_pictures_total{result="classified"} 1.0',
        'classifier_pictures_total{result="unsupported-format"} 1.0',
        'classifier_request_seconds_count{route="/predict"} 2.0',
        'classifier_stage_seconds_count{stage="read"} 2.0',
        'classifier_stage_seconds_count{stage="infer"} 1.0',
        'classifier_pictures_per_request_bucket{le="1.0"} 2.0',
        "classifier_ready 1.0",
        "classifier_in_flight 0.0",
        "classifier_queued 0.0",
    ):
        assert line in text, line
    assert 'weights="official"' in text


def test_every_metric_is_documented() -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
    names = set(re.findall(r"# TYPE (classifier_\w+)", Metrics().render().decode()))
    assert names
    assert set(re.findall(r"^\| `(classifier_\w+)` \|", text, re.MULTILINE)) == names


def test_a_request_id_goes_in_and_out_and_into_the_log(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = client.post("/predict", data=PICTURE, headers={"X-Request-ID": "trace-1/2:3"})
    assert answer.headers["X-Request-ID"] == "trace-1/2:3"
    (record,) = [record for record in caplog.records if record.name == "service.request"]
    fields = vars(record)
    assert fields["request_id"] == "trace-1/2:3"
    assert (fields["method"], fields["path"], fields["status"]) == ("POST", "/predict", 200)
    assert set(fields["timing_ms"]) == {"read", "wait", "decode", "infer", "total"}


@pytest.mark.parametrize("given", ["", "with space", "<script>", "x" * 129, "naïve"])
def test_a_request_id_that_could_do_harm_is_replaced(client: FlaskClient, given: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_probes_do_not_fill_the_log(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)
    assert caplog.records == []


def test_the_log_is_json_on_standard_output_and_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "service.log"
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logging.config.dictConfig(logging_config(Settings(log_file=str(file))))
        logging.getLogger("service").warning("hällo %s", "世界", extra={"request_id": "r1"})
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:], root.level = before, level
    (line,) = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert capsys.readouterr().out == file.read_text("utf-8")
    assert line["severity"] == "WARNING"
    assert line["message"] == "hällo 世界"
    assert line["request_id"] == "r1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", line["time"])
