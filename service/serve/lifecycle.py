"""Whether this process is willing to serve.

    starting --> ready   --> draining
             '-> failed  -->

The model is opened in the background, so that `/healthz` answers and `/readyz` says why it does not yet. Whatever ends
that work ends in failed, with its reason in the log.
"""

from __future__ import annotations

import errno
import gc
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from service.errors import NotReady, ServiceError
from service.model.classifier import Classifier
from service.serve.metrics import Metrics

log = logging.getLogger("service")

# Large networks compile for seconds, on a slow machine for a minute.
_OPENING_LIMIT_SEC = 300.0
# Out of threads, memory or files: not so for ever, nor for the next process.
_PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class Lifecycle:
    """Which of starting, ready, failed and draining this process is in."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._classifier: Classifier | None = None
        self._failure: str | None = None
        self._draining = False
        self._settled = threading.Event()
        self._needs_restart = False

    def start(self, open_classifier: Callable[[], Classifier]) -> None:
        """Open the model, warm it up and run its known-answer test; only then is the process ready."""
        began = time.monotonic()
        try:
            classifier = open_classifier()
            classifier.check()
            self._serve(classifier, began)
        except (
            BaseException
        ) as error:  # whatever it is: a thread that ends in silence leaves a process that never starts
            self._fail(error)
        finally:
            self._settled.set()

    def _serve(self, classifier: Classifier, began: float) -> None:
        # Exclude today's objects from later collections of garbage: a full one would stop all threads for 30 ms.
        gc.collect()
        gc.freeze()
        model = classifier.describe()
        self._metrics.describe_model(model)
        self._classifier = classifier
        self._metrics.ready.set(0 if self._draining else 1)
        log.info(
            "ready: %s (%s), %s by %s on %s threads; %s",
            model.architecture,
            model.weights,
            model.precision,
            model.engine,
            model.threads,
            model.trained_on,
            extra={"model": asdict(model), "start_ms": round(1000 * (time.monotonic() - began))},
        )

    def _fail(self, error: BaseException) -> None:
        self._needs_restart = _restart_may_help(error)
        if isinstance(error, ServiceError):  # its message says all, a trace nothing
            self._failure = str(error)
            log.error("the model cannot be served: %s", error)
        else:
            self._failure = "the model cannot be served; the log says why"
            log.error("the model cannot be served", exc_info=error)

    def wait(self) -> bool:
        """Wait until the model is open or cannot be opened; returns False where only a new process may help."""
        if not self._settled.wait(_OPENING_LIMIT_SEC):
            log.critical("the model is not open after %s s: something waits for ever", _OPENING_LIMIT_SEC)
            return False
        return not self._needs_restart

    def drain(self) -> None:
        """Say no to `/readyz` from now on; predictions go on."""
        self._draining = True
        self._metrics.ready.set(0)

    def check_ready(self) -> None:
        """Raise NotReady, with the reason, unless new traffic is welcome."""
        if self._draining:
            raise NotReady("This server is stopping: it finishes what it has and takes no new traffic.")
        self.classifier()

    def classifier(self) -> Classifier:
        """Return the model, also while draining.

        Raises:
            NotReady: it is not open yet, or could not be opened.
        """
        if self._classifier is not None:
            return self._classifier
        if self._failure is not None:
            raise NotReady(f"This server cannot classify: {self._failure}")
        raise NotReady("The model is being loaded. Try again in a second.")

    def opened(self) -> Classifier | None:
        """Return the model, or None where there is none (yet)."""
        return self._classifier


def _restart_may_help(error: BaseException) -> bool:
    """Return whether what failed may succeed in another process: something was short, or wanted this one to end."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return any(
        not isinstance(cause, Exception)
        or isinstance(cause, MemoryError)
        or getattr(cause, "errno", None) in _PASSING
        or "start new thread" in str(cause)  # a RuntimeError without a class of its own
        for cause in causes
    )
