"""What one server process holds: settings, door, metrics and the model, and whether it is willing to serve.

    starting --> ready   --> draining
             '-> failed  -->

The model is opened in the background, so that `/healthz` answers and `/readyz` says why it does not yet.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from flask import current_app

from service.admission import Admission
from service.classifier import Classifier
from service.cpus import available_cpus, give_way
from service.errors import NotReady, ServiceError
from service.settings import Settings
from service.telemetry import Metrics

EXTENSION = "service"

# While one picture is computed, another is decoded and a third one's answer is written. Measured on two processors with
# INT8 and 16 clients, HTTP against the loop in one process: 89 % with one slot for each, 94-98 % with two.
SLOTS_PER_CPU = 2

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
        # What is here now stays. Leaving it out of every later collection makes those short: a full one would otherwise
        # stop all threads for 30 ms.
        gc.collect()
        gc.freeze()
        self._classifier = classifier
        model = classifier.describe()
        self._metrics.describe_model(model)
        self._metrics.ready.set(0 if self._draining else 1)
        log.info(
            "ready: %s (%s), %s by %s on %s threads; %s",
            model["architecture"],
            model["weights"],
            model["precision"],
            model["engine"],
            model["threads"],
            model["trained_on"],
            extra={"model": model, "start_ms": round(1000 * (time.monotonic() - began))},
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


@dataclass
class State:
    """Everything that the routes share."""

    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        cpus = self.settings.threads or available_cpus()
        slots = SLOTS_PER_CPU * cpus
        self.admission = Admission(
            slots=slots,
            queue_size=self.settings.queue_size,
            max_bytes=self.settings.max_in_flight_bytes,
            spare=slots - cpus,
        )
        # A thread for each slot: pictures are decoded and networks run here, and nowhere else.
        self.computing = ThreadPoolExecutor(slots, "computing", initializer=give_way)
        self.lifecycle = Lifecycle(self.metrics)
        self.metrics.observe(self.admission)
        self.metrics.describe_build(self.settings.commit)

    def start(self, open_classifier: Callable[[], Classifier]) -> threading.Thread:
        """Open the model in the background and return the thread that does it."""

        def open_model() -> None:
            give_way()  # engines start their threads here, and those compute
            self.lifecycle.start(open_classifier)

        thread = threading.Thread(target=open_model, name="open-model", daemon=True)
        thread.start()
        return thread


def state() -> State:
    """Return the state of the application that handles the current request."""
    found: State = current_app.extensions[EXTENSION]
    return found
