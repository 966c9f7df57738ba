"""A server of the standard library that answers in a thread of this process, for fakes of other people's services."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from socketserver import BaseServer
from typing import TypeVar

S = TypeVar("S", bound=BaseServer)


@contextlib.contextmanager
def answering(server: S) -> Iterator[S]:
    """Let `server` answer until the block ends; then it is closed.

    A connection that its client left open fails the test that left it, not whichever runs when Python finds it.
    """
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with server:
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            gc.collect()
