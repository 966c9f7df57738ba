"""Whether this process is willing to serve.

    starting --> ready   --> draining
             '-> failed  -->

The model is opened in the background, so that `/healthz` answers and `/readyz` says why it does not yet.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import asdict

from service.errors import NotReady, ServiceError
from service.model.classifier import Classifier
from service.serve.metrics import Metrics

log = logging.getLogger("service")


class Lifecycle:
    """Which of starting, ready, failed and draining this process is in."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._classifier: Classifier | None = None
        self._failure: str | None = None
        self._draining = False

    def start(self, open_classifier: Callable[[], Classifier]) -> None:
        """Open the model, warm it up and run its known-answer test; only then is the process ready."""
        began = time.monotonic()
        try:
            classifier = open_classifier()
            classifier.check()
        except ServiceError as error:
            self._failure = str(error)
            log.error("the model cannot be served: %s", error)  # noqa: TRY400  # its message says all, a trace nothing
            return
        except Exception:
            self._failure = "the model cannot be served; the log says why"
            log.exception("the model cannot be served")
            return
        # Exclude today's objects from later collections of garbage: a full one would stop all threads for 30 ms.
        gc.collect()
        gc.freeze()
        self._classifier = classifier
        model = classifier.describe()
        self._metrics.describe_model(model)
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
