"""From a command line to gunicorn: what must be right before the process becomes a server, and the change into one."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from service.model import bundle, engines
from service.settings import SettingError, Settings

_CONFIGURATION = Path(__file__).parent / "server" / "gunicorn_conf.py"
_APPLICATION = "service.serve.http.application:create_app()"

# For glibc (docs/decisions.md): few heaps, and what decoding takes for a picture goes back to the system at once.
_MALLOC = {
    "MALLOC_ARENA_MAX": "4",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 18),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 20),
}


def check_model(settings: Settings) -> None:
    """Look whether there is a bundle, whole, with a network for an engine that is installed; loads no engine.

    Raises:
        BundleError: the bundle is missing or damaged, or holds no such network.
        EngineError: the engine is not installed.
    """
    there = bundle.read(settings.model_dir)
    engine, precision = engines.choose(there, settings.engine, settings.precision)
    engines.check_available(engine)
    for name in engines.networks(engine, precision):
        there.network(name)


def check_address(settings: Settings) -> None:
    """Look whether HOST and PORT can be listened on.

    Raises:
        SettingError: they cannot.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingError(
                f"HOST={settings.host!r} PORT='{settings.port}': cannot listen there ({error.strerror}). "
                f"Choose another, for example PORT={settings.port + 1}"
            ) from None


def check_log_file(settings: Settings) -> None:
    """Look whether LOG_FILE, where it is set, can be written.

    Raises:
        SettingError: it cannot.
    """
    if settings.log_file:
        try:
            with Path(settings.log_file).open("a"):
                pass
        except OSError as error:
            raise SettingError(
                f"LOG_FILE={settings.log_file!r}: expected a file that can be written ({error.strerror})"
            ) from None


def become_server() -> NoReturn:
    """Replace this process: gunicorn's parent is then the process that a container's runtime signals."""
    sys.stdout.flush()
    for name, value in _MALLOC.items():
        os.environ.setdefault(name, value)
    os.execv(  # noqa: S606  # this interpreter, no shell
        sys.executable, [sys.executable, "-m", "gunicorn", "--config", str(_CONFIGURATION), _APPLICATION]
    )
