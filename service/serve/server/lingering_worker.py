"""gunicorn's threaded worker, no thread of which waits for a client whose answer is sent: the event loop does.

gunicorn itself reads some of what an application left unread, in a thread, and then closes. That resets the connection
of a client which is still sending, so that its answer is lost and a balancer takes the machine for a broken one (502).
And having closed its half, it waits for the client's in the event loop: a few that keep theirs would stop everything.
Here a body of known length is read away as it comes and its connection is kept; whatever else ends, ends gently.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from service.settings import current

_READ_BYTES = 1 << 18


class LingeringWorker(ThreadWorker):
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._linger_sec = current().request_timeout_sec
        self._unread: dict[TConn, int] = {}  # answered, and so many bytes of the request are still to come
        self._closing: deque[TConn] = deque()  # answered, and nothing more is sent; first in, first out
        self._scratch = bytearray(_READ_BYTES)

    def cut_off(self, conn: TConn) -> None:
        """Receive nothing more from a client that a thread waits for; what came whole is still answered."""
        if (request := getattr(conn.parser, "mesg", None)) is not None:
            request.force_close()  # the answer says that it is the last
        conn.sock.shutdown(socket.SHUT_RD)

    def finish_request(self, conn: TConn, fs: Future[bool]) -> None:
        """Keep or close a connection after a request."""
        if fs.cancelled() or fs.exception() is not None or fs.result() is not True:
            self._close(conn)
            return
        left = _take_rest(conn)
        super().finish_request(conn, fs)
        if left:
            self._unread[conn] = left

    def handle_request(self, req: Any, conn: TConn) -> bool:
        """Let an answer say that it is its connection's last where the next request could not be found."""
        asked = req.should_close
        req.should_close = lambda: asked() or not _end_is_known(req.body)
        kept: bool = super().handle_request(req, conn)
        return kept

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Return whether to keep a connection. gunicorn would wait for the rest of the body, and not for long."""
        return keepalive and _end_is_known(conn.parser.mesg.body)

    def _close(self, conn: TConn) -> None:
        """Send nothing more, and let go when the client closes too or its time is over."""
        request = getattr(conn.parser, "mesg", None)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            if not (request and request.must_close):  # what was cut off would be readable for ever
                self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_closing_readable, conn))
        except (OSError, ValueError):  # it is closed already
            self._let_go(conn)
            return
        conn.timeout = time.monotonic() + (self._linger_sec if self.alive else STOP_KEEPALIVE_LINGER)
        self._closing.append(conn)

    def _on_closing_readable(self, conn: TConn, client: socket.socket) -> None:
        try:
            self._read_away(client, _READ_BYTES)
        except OSError:
            self._closing.remove(conn)
            self._let_go(conn)

    def _read_away(self, client: socket.socket, most: int) -> int:
        """Read and forget up to `most` bytes, as far as they have come; returns how many there were."""
        with contextlib.suppress(BlockingIOError):
            read = client.recv_into(self._scratch, min(most, len(self._scratch)))
            if not read:
                raise ConnectionError  # the client sends nothing more
            return read
        return 0

    def _let_go(self, conn: TConn) -> None:
        """Close a connection that is in none of the lists any more."""
        self._unread.pop(conn, None)
        with contextlib.suppress(KeyError, ValueError):  # closed, or not in the poller
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Also let go of those that close too slowly, and forget what other closed ones had still to send."""
        super().murder_pending()
        now = time.monotonic()
        while self._closing and self._closing[0].timeout <= now:
            self._let_go(self._closing.popleft())
        self._forget_closed()

    def murder_keepalived(self, force: bool = False) -> None:
        """See murder_pending."""
        super().murder_keepalived(force)
        self._forget_closed()

    def _forget_closed(self) -> None:
        for conn in [conn for conn in self._unread if conn.sock.fileno() < 0]:
            del self._unread[conn]

    def _cap_keepalive(self, deadline: float) -> None:
        """Also cap connections that are closing, and those that never sent anything: browsers open such in advance."""
        super()._cap_keepalive(deadline)
        for conn in (*self.pending_conns, *self._closing):
            conn.timeout = min(conn.timeout, deadline)


def _end_is_known(body: Any) -> bool:
    """Return whether it is known where a request's body ends: it has a length, or its last chunk was read."""
    chunks = None if isinstance(body.reader, LengthReader) else body.reader
    return not body.failed and (chunks is None or (chunks.parser is None and not chunks.buf.tell()))


def _take_rest(conn: TConn) -> int:
    """Return how many bytes of an answered request's body are still to come; what came is forgotten."""
    parser = conn.parser
    left = getattr(parser.mesg.body.reader, "length", 0)
    came = parser.unreader.take_buffered()
    parser.unreader.unread(came[left:])
    parser.mesg = None  # or gunicorn would look for the end of its body before the next request
    return max(0, left - len(came))
