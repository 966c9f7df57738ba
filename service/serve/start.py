"""From a command line to gunicorn: what must be right before the process becomes a server, and the change into one."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from service.model import bundle, engines
from service.settings import SettingError, Settings

_CONFIGURATION = Path(__file__).parent / "server" / "gunicorn_conf.py"
_APPLICATION = "service.serve.http.application:create_app()"

_ENVIRONMENT = {
    # For glibc (docs/decisions.md): few heaps, and what decoding takes for a picture goes back to the system at once.
    "MALLOC_ARENA_MAX": "4",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 18),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 20),
    # NumPy's OpenBLAS would start a thread for each of the machine's processors, up to 64, and nobody would use them.
    "OPENBLAS_NUM_THREADS": "1",
}

# What gunicorn and Flask read beside our settings. Meant for other programs of this machine, they would start more
# workers, each with a model and an admission of its own, or end the start with a traceback.
_FOREIGN = ("GUNICORN_CMD_ARGS", "GUNICORN_PID", "GUNICORN_FD", "WEB_CONCURRENCY", "SENDFILE", "FLASK_DEBUG")


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
    host, port = settings.host, settings.port
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, UnicodeError, TypeError) as error:  # names that cannot be encoded raise the last two
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES, errno.EPERM):
            # Ports below 1024 are forbidden together; beside one that is taken, the next is mostly free.
            other = port + 1 if 1024 <= port < 65535 else 8080
            raise SettingError(
                f"HOST={host!r} PORT='{port}': cannot listen there ({reason}). Choose another, for example PORT={other}"
            ) from None
        raise SettingError(
            f"HOST={host!r}: not an address of this machine ({reason}). Choose one, for example HOST=127.0.0.1, or "
            "unset it; conda's compilers set it to the name of a platform: HOST= make run"
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
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if ignored := [name for name in _FOREIGN if os.environ.pop(name, None)]:
        print(f"Ignored: {', '.join(ignored)}. docs/settings.md lists the settings.", file=sys.stderr, flush=True)
    os.execv(  # noqa: S606  # this interpreter, no shell
        sys.executable, [sys.executable, "-m", "gunicorn", "--config", str(_CONFIGURATION), _APPLICATION]
    )
