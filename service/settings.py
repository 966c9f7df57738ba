"""Every setting of the service: read once, from the environment, and checked before anything starts.

A field's name in capitals is the environment variable; it carries its unit. The field's text is the sentence that the
docs/settings.md shows, and a test compares the two.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from service import addresses
from service.model import bundle
from service.model.engines.table import ENGINES, PRECISIONS
from service.model.limits import MAX_PIXELS, Limits

LOG_LEVELS = ("debug", "info", "warning", "error")

# A Spot machine has 30 s between its notice and its end: draining and the last request must fit.
SPOT_NOTICE_SEC = 30

T = TypeVar("T")


class SettingError(ValueError):
    """Settings that cannot be used; the message has a line for each: its name, its value, what was expected."""


class _SettingType:
    """How the text of an environment variable becomes a value, and how to say what was expected."""

    def __init__(self, parse: Callable[[str], Any], expected: str) -> None:
        self.parse = parse
        self.expected = expected


def _integer(low: int, high: int) -> _SettingType:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return _SettingType(parse, f"a whole number from {low} to {high}")


def _one_of(*choices: str, **aliases: str) -> _SettingType:
    """One of a few words, in capitals or not; `aliases` are further names of choices, which nobody is told."""

    def parse(text: str) -> str:
        word = text.lower()
        word = aliases.get(word, word)
        if word not in choices:
            raise ValueError
        return word

    return _SettingType(parse, "one of " + ", ".join(choices))


def _address(text: str) -> str:
    """Return a host without the brackets in which an IPv6 address stands in URLs."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not host:  # to the system an empty one is every interface
        raise ValueError
    return host


_TEXT = _SettingType(str, "text")
_PATH = _SettingType(Path, "a path")
_HOST = _SettingType(_address, "an address or a name")
_BASE_PATH = _SettingType(addresses.base_path, "a path such as /classifier, not the address of something in it")
_ORIGINS = _SettingType(addresses.origins, "* or origins such as https://app.example.com, separated by commas")


def _setting(default: T, setting_type: _SettingType, text: str) -> T:
    # dataclasses.field() is typed as the default's type in this way, so that the annotations below stay honest.
    value: Any = field(default=default, metadata={"type": setting_type, "text": text})
    result: T = value
    return result


@dataclass(frozen=True)
class Settings:
    """The settings, immutable."""

    model_dir: Path = _setting(bundle.DEFAULT_FOLDER, _PATH, "The model bundle to serve.")
    engine: str = _setting(
        "auto",
        _one_of("auto", *ENGINES),
        f"What runs the network: {', '.join(f'`{name}`' for name in ENGINES)}, or `auto`: the fastest of them.",
    )
    precision: str = _setting(
        "auto", _one_of("auto", *PRECISIONS), "`fp32`, `int8`, or `auto`: what the bundle's accuracy gate allowed."
    )
    threads: int = _setting(
        0,
        _integer(0, 384),
        "Processors to use for inference; 0 for all that affinity and cgroup quota allow.",
    )
    host: str = _setting("127.0.0.1", _HOST, "Address to listen on; `0.0.0.0` for every interface.")
    port: int = _setting(8080, _integer(1, 65535), "Port to listen on.")
    base_path: str = _setting(
        "",
        _BASE_PATH,
        "Path under which a proxy shows the service, such as `/classifier`, whether it takes the path off or not.",
    )
    cors_origins: str = _setting(
        "",
        _ORIGINS,
        "Origins whose pages may ask from a browser, such as `https://app.example.com`, separated by commas; `*` for "
        "all.",
    )
    queue_size: int = _setting(
        16,
        _integer(0, 1000),
        "Most requests that may wait for a processor; further ones are answered with 429, under lasting pressure "
        "sooner.",
    )
    request_timeout_sec: int = _setting(
        10,
        _integer(1, SPOT_NOTICE_SEC - 1),
        "Time a request may take, reading and waiting included, before it is given up.",
    )
    drain_sec: int = _setting(
        10,
        _integer(0, SPOT_NOTICE_SEC - 1),
        "After SIGTERM, time to go on serving while `/readyz` already says no and balancers look away.",
    )
    keepalive_sec: int = _setting(
        5, _integer(0, 3600), "How long an idle connection stays open; 620 behind Google's load balancer."
    )
    max_body_bytes: int = _setting(20_000_000, _integer(1_000, 1_000_000_000), "Largest request body.")
    max_header_bytes: int = _setting(
        8190,
        _integer(1_000, 65_536),
        "Longest header of a request, such as the cookies of a shared domain; longer ones are answered with 431.",
    )
    max_in_flight_bytes: int = _setting(
        100_000_000,
        _integer(1_000, 100_000_000_000),
        "Request bodies that may be in memory at once; further requests are answered with 429.",
    )
    max_files: int = _setting(16, _integer(1, 1000), "Most pictures in one request.")
    max_picture_pixels: int = _setting(
        Limits.max_pixels,
        _integer(1, MAX_PIXELS),
        "Largest picture, width times height as its header says: bounds time.",
    )
    max_decoded_pixels: int = _setting(
        Limits.max_decoded_pixels,
        _integer(1, MAX_PIXELS),
        "Most pixels that decoding may hold at once: bounds memory. Large baseline JPEGs are decoded at a reduced "
        "scale and stay below.",
    )
    log_level: str = _setting("info", _one_of(*LOG_LEVELS, warn="warning"), "`debug`, `info`, `warning` or `error`.")
    log_file: str = _setting("", _TEXT, "A file that also gets every log line; standard output always does.")
    commit: str = _setting("unknown", _TEXT, "The source commit that `/version` reports.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read and check all settings at once.

        Args:
            environment: names to values; the process's own where it is None. An empty value means the default.

        Raises:
            SettingError: naming every bad setting, its value and what was expected, a line each.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        mistakes = []
        for item in fields(cls):
            name = item.name.upper()
            text = environment.get(name, "").strip()
            if not text:
                continue
            setting_type: _SettingType = item.metadata["type"]
            try:
                values[item.name] = setting_type.parse(text)
            except ValueError:
                mistakes.append(f"{name}={text!r}: expected {setting_type.expected}")
        settings = cls(**values)
        if not mistakes:
            mistakes = settings._contradictions()
        if mistakes:
            raise SettingError("\n".join(mistakes))
        return settings

    def _contradictions(self) -> list[str]:
        contradictions = []
        if self.drain_sec + self.request_timeout_sec >= SPOT_NOTICE_SEC:
            contradictions.append(
                f"DRAIN_SEC={self.drain_sec} and REQUEST_TIMEOUT_SEC={self.request_timeout_sec}: expected a sum below "
                f"{SPOT_NOTICE_SEC}, the notice in seconds that a Spot machine gets"
            )
        if self.engine != "auto" and self.precision != "auto":
            held = ENGINES[self.engine].networks
            if self.precision not in held:
                contradictions.append(
                    f"PRECISION={self.precision!r} with ENGINE={self.engine!r}: expected {' or '.join(held)} or auto, "
                    "it has no other network"
                )
        return contradictions

    @property
    def limits(self) -> Limits:
        """What one picture may cost."""
        return Limits(self.max_picture_pixels, self.max_decoded_pixels)

    @property
    def bind_address(self) -> str:
        """HOST and PORT as gunicorn takes them: an IPv6 address stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """List the settings as (variable, default, sentence), in the order of the table in docs/settings.md."""
        return [(item.name.upper(), str(item.default), item.metadata["text"]) for item in fields(cls)]


@functools.cache
def current() -> Settings:
    """Return this process's settings, read once.

    Raises:
        SettingError: see Settings.from_environment.
    """
    return Settings.from_environment()
