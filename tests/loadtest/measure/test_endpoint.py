"""Where the service is: addresses and tokens, and those that are none, each named in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.errors import LoadTestError
from loadtest.measure.endpoint import AUTHORITIES, IAP_TOKEN, TOKEN, endpoint


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "ftp://example.com",
        "http://",
        "http://x/predict",
        "http://x/classifier/predict/",
        "http://x/a b",
        "http://x/天",
        "http://x?y",
        "http://u:p@x",
        "http://:p@127.0.0.1",
        "http://x:99999",
    ],
)
def test_what_is_no_address_is_named(host: str) -> None:
    with pytest.raises(LoadTestError, match="is no address of a service"):
        endpoint(host, environ={})


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("http://x/", "http://x"),
        ("https://x:8443/classifier/", "https://x:8443/classifier"),
        ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b"),
    ],
)
def test_a_proxys_path_belongs_to_the_address(host: str, url: str) -> None:
    assert endpoint(host, environ={}).url == url


def test_a_token_never_crosses_a_network_in_the_clear() -> None:
    with pytest.raises(LoadTestError, match="in the clear"):
        endpoint("http://pictures.example.com", environ={TOKEN: "abc"})
    assert endpoint("https://pictures.example.com", environ={TOKEN: "abc"}).headers
    assert endpoint("http://127.0.0.1:8080", environ={TOKEN: "abc"}).local


def test_a_token_with_a_line_break_is_refused() -> None:
    with pytest.raises(LoadTestError, match=f"{TOKEN} holds no token"):
        endpoint("https://x.example", environ={TOKEN: "a\nb"})


@pytest.mark.parametrize(
    "text", ["", "classify.invalid", "203.0.113", "203.0.113.10:443", "[2001:db8::10]", "203.0.113.10/32"]
)
def test_what_is_no_ip_address_is_named(text: str) -> None:
    with pytest.raises(LoadTestError) as caught:
        endpoint("https://x.example", connect_to=text, environ={})
    assert str(caught.value).startswith(
        f"--connect-to {text!r} is no IP address: write one such as 203.0.113.10 or 2001:db8::10"
    )


def test_where_requests_go_decides_what_is_near() -> None:
    """Whether a token may go there unencrypted, and whether anybody is asked before the load."""
    assert endpoint("http://pictures.example.com", connect_to="127.0.0.1", environ={TOKEN: "abc"}).local
    assert endpoint("http://pictures.example.com", connect_to="::1", environ={TOKEN: "abc"}).local
    with pytest.raises(LoadTestError, match=r"in the clear to http://localhost at 203\.0\.113\.10"):
        endpoint("http://localhost", connect_to="203.0.113.10", environ={TOKEN: "abc"})


@pytest.mark.parametrize("variable", [TOKEN, IAP_TOKEN])
@pytest.mark.parametrize("connect_to", [None, "127.0.0.1"])
def test_a_token_goes_to_whoever_answers_only_when_that_is_asked_for_twice(
    variable: str, connect_to: str | None
) -> None:
    """On this machine too: a tunnel leads elsewhere."""
    host, environ = "https://pictures.example.com", {variable: "abc"}
    with pytest.raises(LoadTestError, match=r"to whoever answers .* --ca FILE .* --send-token-unverified"):
        endpoint(host, insecure=True, connect_to=connect_to, environ=environ)
    assert endpoint(host, insecure=True, environ={}).insecure
    assert endpoint(host, insecure=True, connect_to=connect_to, send_token_unverified=True, environ=environ).headers


@pytest.mark.parametrize("source", ["--ca", *AUTHORITIES])
def test_what_holds_no_certificate_is_named(source: str, tmp_path: Path) -> None:
    """Also one in DER's form, as Windows exports it; nothing of it matters without TLS, or with --insecure."""
    der = tmp_path / "authority.cer"
    der.write_bytes(b"\x30\x82\x01")
    for file, complaint in (
        (tmp_path / "absent.pem", "no file that can be read"),
        (der, "no certificate in PEM's form"),
    ):
        ca, environ = (file, {}) if source == "--ca" else (None, {source: str(file)})
        with pytest.raises(LoadTestError) as caught:
            endpoint("https://x.example", ca=ca, environ=environ)
        assert str(caught.value).startswith(f"{source} names {file}, which ")
        assert complaint in str(caught.value)
        assert endpoint("http://x.example", ca=ca, environ=environ).authorities is None
        if not ca:
            assert endpoint("https://x.example", insecure=True, environ=environ).authorities is None
    with pytest.raises(LoadTestError, match="give one of them"):
        endpoint("https://x.example", insecure=True, ca=der, environ={})
