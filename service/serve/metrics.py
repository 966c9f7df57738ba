"""What the service counts and times, for Prometheus. docs/operations.md lists the names; a test compares."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from service import __version__
from service.model.classifier import ModelInfo
from service.serve.admission import Admission

# Around the target of 50 ms the buckets are 1.3 to 1.5 times apart, so a p95 read from them is within a quarter.
_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.05,
    0.065,
    0.08,
    0.1,
    0.15,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)

# A time stamp beside every counter doubles the output and tells nothing that the process's start time does not.
disable_created_metrics()


class Metrics:
    """The service's metrics, in a registry of their own, so that several applications can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "classifier_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "classifier_request_seconds",
            "Time from the request's headers to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "classifier_stage_seconds",
            "Time of each stage of a prediction: read, wait, decode, infer.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.pictures = Counter("classifier_pictures", "Pictures by result.", ["result"], registry=self.registry)
        self.pictures_per_request = Histogram(
            "classifier_pictures_per_request",
            "Pictures in one request.",
            buckets=(1, 2, 4, 8, 16),
            registry=self.registry,
        )
        self.refused = Counter("classifier_refused", "Requests refused, by reason.", ["reason"], registry=self.registry)
        self.in_flight = Gauge("classifier_in_flight", "Prediction requests that are let in.", registry=self.registry)
        self.queued = Gauge(
            "classifier_queued", "Prediction requests that wait for a processor.", registry=self.registry
        )
        self.ready = Gauge("classifier_ready", "1 while /readyz says yes.", registry=self.registry)
        self.model = Info("classifier_model", "The model that answers.", registry=self.registry)
        self.build = Info("classifier_build", "This build of the service.", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def observe(self, admission: Admission) -> None:
        """Read the gauges of `admission` whenever the metrics are asked for."""
        self.in_flight.set_function(lambda: admission.in_flight)
        self.queued.set_function(lambda: admission.queued)

    def describe_build(self, commit: str) -> None:
        """Set the build's labels."""
        self.build.info({"version": __version__, "commit": commit})

    def describe_model(self, model: ModelInfo) -> None:
        """Set the model's labels."""
        names = ("architecture", "weights", "precision", "engine", "engine_version", "bundle_sha256")
        self.model.info({name: str(getattr(model, name)) for name in names})

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
