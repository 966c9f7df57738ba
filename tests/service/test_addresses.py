from __future__ import annotations

import re

import pytest

from service.addresses import OWN_ADDRESSES
from service.serve.http.application import create_app
from service.settings import SettingError, Settings
from tests.conftest import FakeClassifier


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("BASE_PATH", "/", ""),
        ("BASE_PATH", "/classifier", "/classifier"),
        ("BASE_PATH", "/a.b/c-d_~/", "/a.b/c-d_~"),
        ("BASE_PATH", "/predictions", "/predictions"),
        ("CORS_ORIGINS", "*", "*"),
        (
            "CORS_ORIGINS",
            "HTTPS://App.Example.com:443/, http://localhost:3000",
            "https://app.example.com http://localhost:3000",
        ),
        ("CORS_ORIGINS", "http://[::1]:8080 capacitor://localhost", "http://[::1]:8080 capacitor://localhost"),
    ],
)
def test_an_address_is_taken_as_people_write_it(name: str, text: str, value: str) -> None:
    assert getattr(Settings.from_environment({name: text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("BASE_PATH", text)
            for text in ("classifier", "/a//b", "/../a", "/a b", "/é", "/a?b", "http://x/a", "/docs/x")
        ),
        *(
            ("CORS_ORIGINS", text)
            for text in ("app.example.com", "https://*.example.com", "https://x/page", "null", "https://")
        ),
    ],
)
def test_what_is_no_address_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=re.escape(f"{name}={text!r}: expected ")):
        Settings.from_environment({name: text})


def test_a_base_path_cannot_be_taken_for_an_address_in_it() -> None:
    rules = create_app(Settings(), FakeClassifier()).url_map.iter_rules()
    assert {rule.rule.split("/")[1] for rule in rules} - {""} == OWN_ADDRESSES
