"""gunicorn's threaded worker, draining before it stops, cutting off slow clients, answering what is no HTTP.

On SIGTERM the worker first says no to `/readyz` and serves on for DRAIN_SEC, so that balancers look away before it
stops accepting; then it stops as gunicorn's own worker does, finishing what is in flight.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import types
from typing import Any

from gunicorn.workers.gthread import TConn

from service.errors import AddressTooLong, HeadTooLarge, InternalError, MalformedRequest, Problem, UnknownExpectation
from service.serve.responses import problem_bytes, request_id
from service.serve.server.hooks import hooks_of
from service.serve.server.refusing_worker import RefusingWorker
from service.settings import current

log = logging.getLogger("service")

_WATCH_INTERVAL_SEC = 0.5


class DrainingWorker(RefusingWorker):
    """A threaded worker that drains before it stops and cuts off clients that never finish sending."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = current()
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
        if (hooks := hooks_of(getattr(self, "wsgi", None))) is not None:
            hooks.drain()
        if self.was_ready():  # before that no balancer looks here
            log.info("draining: not ready, serving on for %s s", self._settings.drain_sec)
            time.sleep(self._settings.drain_sec)
        log.info("stopping: finishing what is in flight")
        super().handle_exit(0, None)

    def was_ready(self) -> bool:
        """Return whether anybody may have been told that this server is ready."""
        return True

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
        if (status := captured.status()) is None:
            return
        identifier = request_id("")
        problem = self._problem(status, exc)
        log.info(
            "answered %s to what is no HTTP request",
            problem.status,
            extra={"request_id": identifier, "status": problem.status, "problem": problem.name},
        )
        try:
            client.sendall(problem_bytes(problem, identifier, "close", self._settings))
        except OSError:
            log.debug("the client was gone before it could be told")

    def _problem(self, status: int, reason: Exception) -> Problem:
        """Return what to tell a client whose request gunicorn could not parse and would answer with `status`."""
        if status == 414:
            return AddressTooLong(
                f"The request's first line is longer than the {self.cfg.limit_request_line} bytes that are accepted. "
                "Send the picture in the body, not in the address."
            )
        if status == 431:
            return HeadTooLarge(
                f"The request has more than {self.cfg.limit_request_fields} headers, or one of more than "
                f"{self.cfg.limit_request_field_size} bytes. Send fewer and shorter ones: often it is the cookies of a "
                "shared domain. The service's setting MAX_HEADER_BYTES raises the second limit."
            )
        if status == 417:
            return UnknownExpectation(f"The request expects what HTTP does not have: {reason}. Leave that header out.")
        # 501 for an unknown transfer coding is a client's doing; only our own mistakes are 5xx.
        if status == 500:
            return InternalError("This is a mistake of the service, not of the request. Its log has the details.")
        return MalformedRequest(f"The request is not valid HTTP: {reason}. Send it with an HTTP library.")


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
