"""gunicorn's threaded worker, with what a balanced Spot machine needs: a lame duck's end, and patience with limits.

On SIGTERM the worker first says no to `/readyz` and serves on for DRAIN_SEC, so that balancers look away before the
door closes; then it stops as gunicorn's own worker does, finishing what is in flight.

gunicorn's parent process imports this module too: it imports nothing of the model, so that the parent stays small.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.config
import socket
import threading
import time
import types
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn

from service.logs import logging_config
from service.refusing import RefusingWorker
from service.settings import Settings

log = logging.getLogger("service")

_WATCH_INTERVAL_SEC = 0.5


class DrainingWorker(RefusingWorker):
    """A threaded worker that drains before it stops and cuts off clients that never finish sending."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = Settings.from_environment()
        self._stopping = threading.Event()
        self._receiving: dict[TConn, float] = {}  # a connection that a thread is bound to -> when to cut it off

    def init_process(self) -> None:
        """Start the watch in the worker's own process; threads do not survive the fork."""
        threading.Thread(target=self._watch, name="cut-slow-clients", daemon=True).start()
        super().init_process()

    def handle_exit(self, _signal: int, _frame: types.FrameType | None) -> None:
        """Begin to drain at the first SIGTERM; a process group gets it twice, from the shell and from the parent."""
        if not self._stopping.is_set():
            self._stopping.set()
            # A signal handler must not wait, nor take locks that the interrupted code may hold.
            threading.Thread(target=self._drain, name="drain", daemon=True).start()

    def _drain(self) -> None:
        app = getattr(self, "wsgi", None)
        if app is not None:
            app.extensions["drain"]()
        log.info("draining: not ready, serving on for %s s", self._settings.drain_sec)
        time.sleep(self._settings.drain_sec)
        log.info("stopping: finishing what is in flight")
        super().handle_exit(0, None)

    def handle(self, conn: TConn) -> Any:
        """Serve one request; a client that has not sent it in time is cut off, so that no thread waits for ever."""
        self._receiving[conn] = time.monotonic() + self._settings.request_timeout_sec
        try:
            return super().handle(conn)
        finally:
            del self._receiving[conn]

    def _watch(self) -> None:
        while True:
            time.sleep(_WATCH_INTERVAL_SEC)
            now = time.monotonic()
            for conn, end in list(self._receiving.items()):
                if now > end:
                    with contextlib.suppress(OSError):  # closed meanwhile
                        self.cut_off(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what is not even HTTP in the form that every other error has."""
        captured = _CapturedAnswer()
        super().handle_error(req, captured, addr, exc)
        status = captured.status()
        if status is None:
            return
        # 501 for an unknown transfer coding would be a client's doing; only our own mistakes are 5xx.
        status = 400 if 500 < status < 600 else status
        detail = f"The request is not valid HTTP: {exc}" if status < 500 else "The service's log has the details."
        body = json.dumps({"type": "about:blank", "title": "Bad request", "status": status, "detail": detail}) + "\n"
        head = (
            f"HTTP/1.1 {status} Bad Request\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body.encode())}\r\n\r\n"
        )
        try:
            client.sendall((head + body).encode())
        except OSError:
            log.debug("the client was gone before it could be told")


class JSONLogger(Logger):
    """gunicorn's log in the service's own form; lines for requests come from service.web.observe, with their ids."""

    def setup(self, _cfg: Config) -> None:
        """Configure all logging of this process."""
        logging.config.dictConfig(logging_config(Settings.from_environment()))
        for logger in (self.error_log, self.access_log):
            logger.propagate = True

    def access(self, *_args: Any, **_kwargs: Any) -> None:
        """Write nothing."""


class _CapturedAnswer:
    """Stands in for the client's socket while gunicorn decides on a status and writes its HTML."""

    def __init__(self) -> None:
        self._data = b""

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self._data += data

    def status(self) -> int | None:
        """Return the status of the captured answer, None where there was none."""
        parts = self._data.split(b" ", 2)
        return int(parts[1]) if len(parts) == 3 else None
