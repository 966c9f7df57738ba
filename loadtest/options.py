"""What the command line says about every test: its options, and whether they make sense together.

Locust is not loaded here: that takes a second or two, and a wrong option is told without it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from loadtest.errors import LoadTestError
from loadtest.measure.endpoint import AUTHORITIES, Endpoint, endpoint
from loadtest.plan import mix

DEFAULT_PORT = 5557  # Locust's
CONNECT_TO_HELP = "Connect to this address, whatever address the name has; certificate and Host header stay the name's."
TRUST = (
    click.Option(
        ["--ca"],
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"Certificates of the authorities to trust. [env: {', '.join(AUTHORITIES)}]",
    ),
    click.Option(["--insecure"], is_flag=True, help="Accept any certificate."),
    click.Option(["--send-token-unverified"], is_flag=True, help="With --insecure: send the token to whoever answers."),
)
_OPTIONS = (
    click.Option(["--host"], metavar="URL", help="The service, such as https://pictures.example.com"),
    click.Option(["--connect-to"], metavar="IP", help=CONNECT_TO_HELP),
    click.Option(["--serve"], is_flag=True, help="Start the service of this checkout, and stop it afterwards."),
    click.Option(
        ["--targets", "target_file"],
        type=click.Path(path_type=Path),
        help="The targets. [default: loadtest/targets.toml]",
    ),
    click.Option(
        ["--pictures", "folder"], type=click.Path(path_type=Path), help="A folder of pictures instead of made ones."
    ),
    click.Option(
        ["--mix"],
        default="typical",
        show_default=True,
        help="What is sent: typical, or shares such as small=9,phone=1.",
    ),
    click.Option(
        ["--warm-up", "warm_up_sec"],
        default=5.0,
        show_default=True,
        type=click.FloatRange(0, 3600),
        help="Seconds before it counts.",
    ),
    click.Option(["--seed"], default=0, show_default=True, help="Another order of the same requests."),
    *TRUST,
    click.Option(["--yes"], is_flag=True, help="Do not ask before loading another machine. [env: CONFIRM=1]"),
    click.Option(["--quiet"], is_flag=True, help="No progress on standard error."),
    click.Option(
        ["--workers"], default=0, type=click.IntRange(0, 1000), help="Let so many workers send, and wait for them."
    ),
    click.Option(["--bind"], default="127.0.0.1", show_default=True, help="Where workers connect to."),
    click.Option(["--port"], default=DEFAULT_PORT, show_default=True, type=click.IntRange(1, 65535)),
)


def _confirmed() -> bool:
    return os.environ.get("CONFIRM", "").strip().lower() in ("1", "true", "yes", "y", "on")


class CommandOfATest(click.Command):
    """A command with the options that every test has, before its own."""

    def __init__(self, name: str | None, params: Sequence[click.Parameter] = (), **others: Any) -> None:
        super().__init__(name, params=[*_OPTIONS, *params], **others)


@dataclass(frozen=True)
class Options:
    """The options that every test has, as far as they are not about its scenario or its targets."""

    host: str | None  # None starts the service of this checkout
    mix: str
    folder: Path | None
    output: Path
    ca: Path | None
    insecure: bool
    send_token_unverified: bool
    connect_to: str | None
    yes: bool
    seed: int
    workers: int
    bind: str
    port: int
    quiet: bool

    @classmethod
    def of(cls, host: str | None, serve: bool, yes: bool, **others: Any) -> Options:
        """Return what click has parsed, once it makes sense.

        Raises:
            LoadTestError: options contradict one another, or the mix or the address is none.
        """
        if (host is None) == (not serve):
            raise LoadTestError(
                "Give --host URL for a service that runs, or --serve to start the one of this checkout."
            )
        if serve and others["connect_to"] is not None:
            raise LoadTestError("--serve starts a service at an address of its own: give --host with --connect-to.")
        if serve and others["ca"]:
            raise LoadTestError("--serve starts a service without certificates: give --host with --ca.")
        if serve and others["workers"]:
            raise LoadTestError("--serve starts a service for this machine alone: give --host with --workers.")
        options = cls(host=host, yes=yes or _confirmed(), **others)
        mix.parse(options.mix)
        if options.host is not None:
            options.endpoint(options.host)
        return options

    def endpoint(self, host: str) -> Endpoint:
        """Return where requests go, and whom to trust there; raises LoadTestError where that makes no sense."""
        return endpoint(host, self.insecure, self.connect_to, self.ca, self.send_token_unverified)
