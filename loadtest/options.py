"""What a load test is asked for: the options that Locust gets beside its own, and whether they make sense together.

One table for `locust -f loadtest/locustfile.py` and `python -m loadtest`. Locust is not loaded here: that takes a
second, and a wrong option is told without it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import configargparse

from loadtest.errors import LoadTestError
from loadtest.judge import targets
from loadtest.measure.endpoint import AUTHORITIES, Endpoint, endpoint
from loadtest.plan import mix
from loadtest.plan.scenarios import NAMES, Overrides, make
from loadtest.plan.schedule import Scenario

_FLAG = argparse.BooleanOptionalAction
# Name, type and default, what argparse is told besides. The first part is asked for in Locust's page, too. Locust's
# messages carry what is parsed to workers: no paths, but strings.
_IN_THE_PAGE: tuple[tuple[str, type, Any, dict[str, Any]], ...] = (
    ("scenario", str, "smoke", {"choices": NAMES, "help": "The load."}),
    ("rate", float, None, {"help": "Requests a second; of steps the first, of a spike the usual one."}),
    ("to", float, None, {"help": "The highest rate of steps and spike."}),
    ("seconds", float, None, {"help": "How long: all of it, each of the steps, or the spike."}),
    ("closed", int, None, {"help": "So many clients that wait for their answers, 1 to 900, instead of a rate."}),
    ("arrivals", str, "constant", {"choices": ("constant", "poisson"), "help": "Evenly spaced, or at random."}),
    ("mix", str, "typical", {"help": "What is sent: typical, or shares such as small=9,phone=1."}),
    ("seed", int, 0, {"help": "Another order of the same requests."}),
)
_BESIDE: tuple[tuple[str, type, Any, dict[str, Any]], ...] = (
    ("warm-up", float, 5.0, {"help": "Seconds before it counts. Default: 5, of a smoke none."}),
    ("retries", bool, None, {"action": _FLAG, "help": "Come back after a refusal when Retry-After is over."}),
    ("pictures", str, None, {"help": "A folder of pictures instead of made ones."}),
    ("targets", str, str(targets.DEFAULT_FILE), {"help": "The targets. Default: loadtest/targets.toml"}),
    ("report", str, None, {"help": "Folder for results.json, junit.xml, requests.csv.gz, report.html, report.png."}),
    ("charts", bool, True, {"action": _FLAG, "help": "Without, no report.html and report.png are drawn."}),
    ("progress", bool, None, {"action": _FLAG, "help": "Ours, or none, instead of Locust's tables."}),
    ("served", bool, False, {"action": "store_true", "help": argparse.SUPPRESS}),  # the host was just started for this
    ("connect-to", str, None, {"help": "Connect to this IP address; certificate and Host header stay the name's."}),
    ("ca", str, None, {"help": f"Certificates of the authorities to trust, before {', '.join(AUTHORITIES)}."}),
    ("insecure", bool, False, {"action": "store_true", "help": "Accept any certificate."}),
    ("send-token-unverified", bool, False, {"action": "store_true", "help": "With --insecure: send the token anyway."}),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser, Locust's or another; each can be an environment variable, as Locust's own can."""
    group = parser.add_argument_group("Load test options")
    for table, place in ((_IN_THE_PAGE, parser), (_BESIDE, group)):
        for name, kind, default, others in table:
            typed: dict[str, Any] = (
                {} if kind is bool else {"type": kind, "metavar": None if "choices" in others else "<value>"}
            )
            variable = f"LOCUST_{name.upper().replace('-', '_')}"
            words = {"default": default, "env_var": variable, **typed, **others}  # env_var is configargparse's
            place.add_argument(f"--{name}", **words)


@dataclass(frozen=True)
class Options:
    """The options, each of its type: those of the table above."""

    scenario: str
    rate: float | None
    to: float | None
    seconds: float | None
    closed: int | None
    arrivals: Any
    mix: str
    seed: int
    warm_up: float
    retries: bool | None
    pictures: Path | None
    targets: Path
    report: Path | None
    charts: bool
    progress: bool | None
    served: bool
    connect_to: str | None
    ca: Path | None
    insecure: bool
    send_token_unverified: bool

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Options:
        """Return what was parsed; Locust's page gives every value as a string, "" for none.

        Raises:
            LoadTestError: a value makes no sense.
        """
        values = {field.name: getattr(parsed, field.name) for field in fields(cls)}
        for name, kind, default, _ in _IN_THE_PAGE:
            value = default if values[name] in ("", None) else values[name]
            try:
                values[name] = None if value is None else kind(value)
            except ValueError:
                raise LoadTestError(f"--{name} {value!r}: expected a number.") from None
        for name in ("pictures", "targets", "report", "ca"):
            values[name] = Path(values[name]) if values[name] else None
        options = cls(**values)
        if options.closed is not None and not 1 <= options.closed <= 900:
            raise LoadTestError(f"--closed {options.closed}: expected a number of clients from 1 to 900.")
        if not 0 <= options.warm_up <= 3600:
            raise LoadTestError(f"--warm-up {options.warm_up:g}: expected seconds from 0 to 3,600.")
        mix.parse(options.mix)
        return options

    def planned(self) -> Scenario:
        """Return the scenario; raises LoadTestError where none can be made of the numbers."""
        overrides = Overrides(self.rate, self.seconds, self.to, self.closed, self.arrivals, self.retries, self.warm_up)
        return make(self.scenario, overrides)

    def endpoint(self, host: str) -> Endpoint:
        """Return where requests go, and whom to trust there; raises LoadTestError where that makes no sense."""
        return endpoint(host, self.insecure, self.connect_to, self.ca, self.send_token_unverified)


def parse(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """Return the options on a command line, and what on it is Locust's.

    Raises:
        LoadTestError: a value makes no sense.
        SystemExit: a value is of another type than its option; argparse has said so.
    """
    parsed, others = parser().parse_known_args(list(arguments))
    return Options.of(parsed), others


def parser() -> argparse.ArgumentParser:
    """Return a parser of these options alone."""
    alone: argparse.ArgumentParser = configargparse.ArgumentParser(
        prog="python -m loadtest", add_help=False, allow_abbrev=False, add_env_var_help=False
    )
    add_arguments(alone)
    return alone
