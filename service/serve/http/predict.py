"""POST /predict: parameters, admission, pictures, classifier, JSON."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, g, jsonify, request
from flask.typing import ResponseReturnValue

from service.errors import BadParameter, DeadlineExceeded, OutOfTime, Overloaded, Problem
from service.model import images
from service.model.bundle import LANGUAGES
from service.model.classifier import Classifier, Probabilities
from service.serve.admission import Deadline
from service.serve.http.bodies import Picture, announced_bytes, read_pictures
from service.serve.http.context import services
from service.serve.interface import DEFAULT_TOP_K, PREDICT, TIMEOUT_HEADER
from service.serve.metrics import Metrics
from service.serve.services import Services

# These end a whole request, whatever became of its other pictures.
_REFUSALS = (Overloaded, OutOfTime, DeadlineExceeded)

blueprint = Blueprint("predict", __name__)


class _Timing:
    """The time of each stage of one request, in seconds; also feeds the histograms."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.began = time.perf_counter()
        self.stages: dict[str, float] = {}

    def add(self, stage: str, began: float) -> float:
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - began
        self._metrics.stage_seconds.labels(stage).observe(now - began)
        return now

    def as_ms(self) -> dict[str, float]:
        total = time.perf_counter() - self.began
        return {name: round(1000 * value, 2) for name, value in {**self.stages, "total": total}.items()}


@dataclass(frozen=True)
class _Prediction:
    """What one request asks of the model, the same for each of its pictures; knows nothing of HTTP."""

    services: Services
    classifier: Classifier
    deadline: Deadline
    timing: _Timing
    top_k: int
    lang: str

    def of(self, picture: bytes, begun: bool) -> list[dict[str, Any]]:
        """Return a picture's likeliest labels; `begun` where the request has had work done for it already.

        Raises:
            Problem: the picture is at fault, or there is no room or time for it.
        """
        began = time.perf_counter()
        with self.services.admission.slot(self.deadline, begun):
            self.timing.add("wait", began)
            probabilities = self.services.compute(lambda: self._probabilities(picture))
        labels = self.classifier.top(probabilities, self.top_k, self.lang)
        return [{"label": p.label, "index": p.index, "probability": round(p.probability, 6)} for p in labels]

    def _probabilities(self, picture: bytes) -> Probabilities:
        settings, admission = self.services.settings, self.services.admission
        began = time.perf_counter()
        admission.check(self.deadline, "decoding")
        pixels = images.load(picture, self.classifier.geometry, settings.limits)
        began = self.timing.add("decode", began)
        admission.check(self.deadline, "inference")
        probabilities = self.classifier.classify(pixels, exclusive=admission.in_flight == 1)
        self.timing.add("infer", began)
        return probabilities

    def answer(self, picture: Picture, begun: bool, single: bool) -> dict[str, Any]:
        """Return a picture's labels or, where it is one of several, what is wrong with it.

        Raises:
            Problem: what ends the whole request.
        """
        counted = self.services.metrics.pictures
        try:
            if picture.problem:
                raise picture.problem
            labels = self.of(picture.data, begun)
        except _REFUSALS:
            raise
        except Problem as problem:
            counted.labels(problem.name).inc()
            if single:
                raise
            return {"error": problem.body(self.services.settings.base_path)}
        counted.labels("classified").inc()
        return {"predictions": labels}


@blueprint.post(PREDICT, provide_automatic_options=False)
def predict() -> ResponseReturnValue:
    """Classify the picture or pictures in the request's body."""
    current = services()
    settings, metrics = current.settings, current.metrics
    prediction = _prediction(current)
    timing = prediction.timing
    size = announced_bytes(request.content_length, settings.max_body_bytes)
    with _counted_refusals(metrics), current.admission.enter(size):
        pictures = read_pictures(settings.max_body_bytes, settings.max_files)
        timing.add("read", timing.began)
        metrics.pictures_per_request.observe(len(pictures))
        single = len(pictures) == 1
        answers = [prediction.answer(picture, n > 0, single) for n, picture in enumerate(pictures)]
    g.timing_ms = timing.as_ms()
    model = prediction.classifier.describe()
    about = {
        "model": {
            "architecture": model.architecture,
            "weights": model.weights,
            "precision": model.precision,
            "engine": model.engine,
        },
        "timing_ms": g.timing_ms,
    }
    if single:
        return jsonify({**answers[0], **about})
    results = [{"filename": p.filename, **answer} for p, answer in zip(pictures, answers, strict=True)]
    return jsonify({"results": results, **about})


def _prediction(current: Services) -> _Prediction:
    """Read the request's parameters; its deadline and its timing begin here."""
    classifier = current.lifecycle.classifier()
    top_k, lang = _parameters(classifier)
    deadline = _deadline(current.settings.request_timeout_sec)
    return _Prediction(current, classifier, deadline, _Timing(current.metrics), top_k, lang)


@contextlib.contextmanager
def _counted_refusals(metrics: Metrics) -> Iterator[None]:
    try:
        yield
    except _REFUSALS as problem:
        metrics.refused.labels(problem.name).inc()
        raise


def _deadline(most_sec: int) -> Deadline:
    """Return when this request is given up: after what the client gives it, at most what the settings give."""
    text = request.headers.get(TIMEOUT_HEADER)
    if text is None:
        return Deadline(most_sec)
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) >= 1):
        raise BadParameter(f"{TIMEOUT_HEADER}={text[:40]!r}: expected milliseconds, a whole number from 1.")
    timeout_sec = int(text) / 1000
    return Deadline(timeout_sec, header=TIMEOUT_HEADER) if timeout_sec < most_sec else Deadline(most_sec)


def _parameters(classifier: Classifier) -> tuple[int, str]:
    text = request.args.get("top_k", str(min(DEFAULT_TOP_K, classifier.classes)))
    # isdecimal() also accepts other scripts' digits, and int() would too; a length limit keeps int() cheap.
    if not (text.isascii() and text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= classifier.classes):
        raise BadParameter(f"top_k={text[:40]!r}: expected a whole number from 1 to {classifier.classes}.")
    lang = request.args.get("lang", "en")
    if lang not in LANGUAGES:
        raise BadParameter(f"lang={lang[:40]!r}: expected one of {', '.join(LANGUAGES)}.")
    return int(text), lang
