"""gunicorn's threaded worker, refusing from its event loop: overload reaches no thread.

Handing a request to a thread, parsing it and sending 429 from the application takes about 0.5 ms of processor time, so
that ten times a machine's load would cost half the machine, and probes would wait for a thread. The event loop looks
at the first bytes of a request instead, asks the application whether it would refuse, answers itself, and reads the
rest of the body away as it comes. What is not plainly a simple request goes gunicorn's way, to be refused by its route.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import deque
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn

from service.serve.server.hooks import hooks_of
from service.serve.server.lingering_worker import LingeringWorker
from service.settings import current

# Of a request's head; browsers and load balancers send 0.5 to 2 KB.
_PEEK_BYTES = 4096
_HARMLESS = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)


class RefusingWorker(LingeringWorker):
    """A threaded worker that asks its application's `ServerHooks.refuse` before it spends a thread on a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = current()
        self._patience_sec = max(settings.keepalive_sec, settings.request_timeout_sec)

    def accept(self, listener: socket.socket) -> None:
        """Let the event loop wait for a new connection's first bytes, where gunicorn would have a thread wait."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in _HARMLESS:
                return
            raise
        self.nr_conns += 1
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.timeout = time.monotonic() + self._patience_sec
        self.pending_conns.append(conn)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def on_pending_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """See the class; a connection on which no request was let in yet."""
        if not self._refused(conn, client, self.pending_conns, self._patience_sec):
            super().on_pending_socket_readable(conn, client)

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """See the class; a connection that was kept."""
        if not self._refused(conn, client, self.keepalived_conns, self.cfg.keepalive):
            super().on_client_socket_readable(conn, client)

    def _refused(self, conn: TConn, client: socket.socket, waiting: deque[TConn], patience_sec: float) -> bool:
        """Deal with what made the socket readable, if it is a request that is refused, or the rest of one.

        The connection stays in the event loop as it is: under a flood each system call counts, since each gives up the
        interpreter's lock to the threads at work and has to get it back.
        """
        left = self._unread.get(conn)
        try:
            if left is None:
                hooks = hooks_of(self.wsgi)
                if hooks is None or not self.alive:
                    return False
                refusal = hooks.refuse(client.recv(_PEEK_BYTES, socket.MSG_PEEK))
                if refusal is None:
                    return False
                left = refusal.request_bytes
                if client.send(refusal.answer) < len(refusal.answer):
                    raise ConnectionError  # its client reads nothing
            left -= self._read_away(client, left)
        except OSError:
            waiting.remove(conn)
            self._let_go(conn)
            return True
        if left:
            self._unread[conn] = left
        else:
            self._unread.pop(conn, None)
        # At the end: the deque is sorted by time-out.
        waiting.remove(conn)
        conn.timeout = time.monotonic() + patience_sec
        waiting.append(conn)
        return True
