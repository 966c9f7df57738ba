"""The parent process and its one worker: which signals mean something, and when the whole server ends.

gunicorn starts a worker again that died, at once and for ever. That helps where one picture killed it, and hides a
model that cannot be opened: a server that is alive and never ready, and that nobody replaces. So a worker that dies
before its model was open, or that only a new process can help, takes the server with it: whoever runs the server starts
it again, waits longer each time, and shows that it keeps failing.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from service.serve.server.draining_worker import DrainingWorker
from service.serve.server.hooks import ServerHooks, hooks_of

# What gunicorn would answer with a second worker or a second parent: twice the model's memory, two counts of admitted
# requests, and 503 from the new one while its model is opened (docs/decisions.md).
_UNUSED_SIGNALS = ("HUP", "TTIN", "TTOU", "USR2")


class SupervisedWorker(DrainingWorker):
    """The worker that is started; tells its parent when its model is open."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settled = mmap.mmap(-1, 1)  # made by the parent, shared with the worker

    @property
    def settled(self) -> bool:
        """Whether the model is open, or cannot be for a reason that the log and `/readyz` name."""
        return bool(self._settled[0])

    def was_ready(self) -> bool:
        """See DrainingWorker.was_ready."""
        return self.settled

    def init_signals(self) -> None:
        """Also let be what the parent lets be: some signals go to a whole group of processes."""
        super().init_signals()
        for name in _UNUSED_SIGNALS:
            signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)

    def load_wsgi(self) -> None:
        """Load the application and wait for its model, in a thread."""
        super().load_wsgi()
        if (hooks := hooks_of(self.wsgi)) is not None:
            threading.Thread(target=self._await_model, args=(hooks,), name="await-model", daemon=True).start()

    def _await_model(self, hooks: ServerHooks) -> None:
        if hooks.wait_for_model():
            self._settled[0] = 1
        else:
            os._exit(Arbiter.WORKER_BOOT_ERROR)  # from a thread, there is no other way out; the reason is in the log


def child_exit(server: Arbiter, worker: SupervisedWorker) -> None:
    """End the server whose worker died before its model was open; gunicorn has logged what killed it."""
    stopping = not server.LISTENERS
    if not (worker.settled or stopping):
        raise HaltServer("The worker died while it opened the model.", Arbiter.WORKER_BOOT_ERROR)


def when_ready(server: Arbiter) -> None:
    """Have the parent say no to signals that it could not follow without harm."""
    for name in _UNUSED_SIGNALS:
        setattr(server, f"handle_{name.lower()}", _refusal(server, name))


def _refusal(server: Arbiter, name: str) -> Any:
    return lambda: server.log.warning("SIG%s does nothing here: for a new model or other settings, restart", name)
