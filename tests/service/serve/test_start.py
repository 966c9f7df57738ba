"""What is wrong with model or engine ends `serve` before there is a server."""

from __future__ import annotations

import importlib.util

import pytest

from service.errors import BundleError, EngineError
from service.model.bundle import Bundle
from service.serve import start
from service.settings import Settings, current


def test_an_engine_that_is_not_installed_is_told_before_the_server_starts(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    start.check_model(Settings(model_dir=tiny_bundle.path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(EngineError, match="pip install openvino"):
        start.check_model(Settings(model_dir=tiny_bundle.path))


def test_a_network_that_the_engine_would_read_must_be_there(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="holds no ncnn network"):
        start.check_model(Settings(model_dir=tiny_bundle.path, engine="ncnn"))


def test_a_process_reads_its_settings_once() -> None:
    assert current() is current()
