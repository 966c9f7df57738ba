"""What the routes of one server process share: settings, admission, metrics, the model, the threads that compute."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from service.model.classifier import BundleClassifier, Classifier
from service.model.processors import lower_thread_priority
from service.serve.admission import Admission
from service.serve.capacity import Capacity
from service.serve.lifecycle import Lifecycle
from service.serve.metrics import Metrics
from service.settings import Settings

T = TypeVar("T")


class Services:
    """See the module; Flask keeps it as an extension of the application."""

    def __init__(self, settings: Settings) -> None:
        capacity = Capacity.of(settings)
        self.settings = settings
        self.metrics = Metrics()
        self.admission = Admission(
            slots=capacity.slots,
            queue_size=capacity.queue_size,
            max_bytes=settings.max_in_flight_bytes,
            spare=capacity.spare_slots,
        )
        self.lifecycle = Lifecycle(self.metrics)
        self._computing = ThreadPoolExecutor(capacity.computing_threads, "computing", initializer=lower_thread_priority)
        self.metrics.observe(self.admission)
        self.metrics.describe_build(settings.commit)

    def compute(self, work: Callable[[], T]) -> T:
        """Do what keeps a processor busy, and wait for it.

        In a thread of low priority, and priority is a thread's: that which answers its client must not have it.
        """
        future: Future[T] = self._computing.submit(work)
        return future.result()

    def start(self, open_classifier: Callable[[], Classifier] | None = None) -> threading.Thread:
        """Open the model in the background, the bundle that the settings name where nothing else is given.

        Returns:
            The thread that does it.
        """
        opener = open_classifier or functools.partial(
            BundleClassifier.open,
            self.settings.model_dir,
            self.settings.engine,
            self.settings.precision,
            self.settings.threads,
        )

        def open_model() -> Classifier:
            lower_thread_priority()  # engines start their threads here, and those compute
            return opener()

        thread = threading.Thread(target=self.lifecycle.start, args=(open_model,), name="open-model", daemon=True)
        thread.start()
        return thread
