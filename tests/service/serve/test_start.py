"""What is wrong with model, engine or address ends `serve` before there is a server."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from service.errors import BundleError, EngineError
from service.model.bundle import Bundle
from service.serve import start
from service.settings import SettingError, Settings, current
from tests.conftest import REPOSITORY
from tests.server import free_port


def test_an_engine_that_is_not_installed_is_told_before_the_server_starts(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    start.check_model(Settings(model_dir=tiny_bundle.path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == "service.build" else None)
    with pytest.raises(EngineError, match="pip install openvino"):
        start.check_model(Settings(model_dir=tiny_bundle.path))


def test_a_network_that_the_engine_would_read_must_be_there(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="holds no ncnn network"):
        start.check_model(Settings(model_dir=tiny_bundle.path, engine="ncnn"))


def test_a_process_reads_its_settings_once() -> None:
    assert current() is current()


@pytest.mark.parametrize(
    "host",
    [
        "x86_64-conda-linux-gnu",
        "http://localhost",
        "localhost:8080",
        "192.0.2.1",
        "2001:db8::1",
        "fe80::1%eth0",
        "unix:/tmp/socket",
        "..",
        "a" * 70,
        "ü..x",
    ],
)
def test_what_is_no_address_here_is_named_and_no_other_port_advised(host: str) -> None:
    """conda's compilers set HOST to the platform that they build for."""
    with pytest.raises(SettingError) as caught:
        start.check_address(Settings(host=host, port=free_port()))
    said = str(caught.value)
    assert said.startswith(f"HOST={host!r}: not an address of this machine (")
    assert "HOST= make run" in said
    assert "PORT" not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104  # bound for a moment
def test_what_is_an_address_here_is_taken(host: str) -> None:
    start.check_address(Settings(host=host, port=free_port()))


FOREIGN = {
    "GUNICORN_CMD_ARGS": "--workers 3 --bind 0.0.0.0:1 --preload",
    "GUNICORN_PID": "1",
    "GUNICORN_FD": "7",
    "WEB_CONCURRENCY": "auto",
    "SENDFILE": "perhaps",
    "FLASK_DEBUG": "1",
}


def test_what_gunicorn_and_flask_would_read_is_said_and_left_out() -> None:
    """In a process of its own, with what it would become replaced by one that shows its environment."""
    code = (
        "import os, json\n"
        "from service.serve import start\n"
        "os.execv = lambda *_: print(json.dumps(dict(os.environ)))\n"
        "start.become_server()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"], **FOREIGN},
        capture_output=True,
        text=True,
        check=True,
    )
    left = json.loads(result.stdout)
    assert not FOREIGN.keys() & left.keys()
    assert left["OPENBLAS_NUM_THREADS"] == "1"
    assert result.stderr == f"Ignored: {', '.join(FOREIGN)}. docs/settings.md lists the settings.\n"
