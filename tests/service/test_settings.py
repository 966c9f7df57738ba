from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.settings import SettingError, Settings
from tests.conftest import REPOSITORY


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert (settings.port, settings.engine, settings.model_dir) == (8080, "auto", Path("models/resnet18"))


def test_a_value_is_parsed_to_its_type_and_an_empty_one_means_the_default() -> None:
    settings = Settings.from_environment({"PORT": " 9000 ", "MODEL_DIR": "/m", "ENGINE": "torch", "THREADS": ""})
    assert (settings.port, settings.model_dir, settings.engine, settings.threads) == (9000, Path("/m"), "torch", 0)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LOG_LEVEL", "INFO", "info"),
        ("LOG_LEVEL", " Warning\t", "warning"),
        ("LOG_LEVEL", "WARN", "warning"),
        ("ENGINE", "OpenVINO", "openvino"),
        ("ENGINE", "NCNN ", "ncnn"),
        ("ENGINE", "Auto", "auto"),
        ("PRECISION", "INT8", "int8"),
        ("PRECISION", " Fp32 ", "fp32"),
        ("HOST", "[::]", "::"),
        ("HOST", " [::1] ", "::1"),
        ("HOST", "::1", "::1"),
    ],
)
def test_words_are_read_in_capitals_and_among_blanks_and_addresses_in_brackets(
    name: str, value: str, expected: str
) -> None:
    assert getattr(Settings.from_environment({name: value}), name.lower()) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "a whole number from 1 to 65535"),
        ("PORT", "0", "a whole number from 1 to 65535"),
        ("PORT", "70000", "a whole number from 1 to 65535"),
        ("HOST", "[]", "an address or a name"),
        ("ENGINE", "tensorrt", "one of auto, openvino, onnxruntime, ncnn, torch"),
        ("PRECISION", "int4", "one of auto, fp32, int8"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("MAX_BODY_BYTES", "20MB", "a whole number from 1000 to 1000000000"),
        ("MAX_PICTURE_PIXELS", "5000000000", "a whole number from 1 to 4290250000"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingError, match=re.escape(f"{name}={value!r}: expected {expected}")):
        Settings.from_environment({name: value})


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_environment({"PORT": "x", "ENGINE": "y"})
    assert [line.split("=")[0] for line in str(caught.value).splitlines()] == ["ENGINE", "PORT"]


def test_draining_and_the_last_request_fit_into_a_spot_machines_notice() -> None:
    with pytest.raises(SettingError, match="a sum below 30"):
        Settings.from_environment({"DRAIN_SEC": "20", "REQUEST_TIMEOUT_SEC": "10"})


@pytest.mark.parametrize("engine", ["ncnn", "torch"])
def test_int8_is_refused_for_an_engine_that_cannot_run_it(engine: str) -> None:
    with pytest.raises(SettingError, match=f"ENGINE='{engine}'"):
        Settings.from_environment({"ENGINE": engine, "PRECISION": "int8"})


def test_the_documents_list_every_setting_with_its_default_and_sentence() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`)? ?\| (.*) \|$", page, re.MULTILINE)
    assert rows == Settings.table()
