"""POST /predict: admission, pictures, classifier, JSON."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, g, jsonify, request
from flask.typing import ResponseReturnValue

from service import images
from service.admission import Deadline
from service.classifier import Classifier, Probabilities
from service.errors import BadParameter, DeadlineExceeded, OutOfTime, Overloaded, Problem
from service.web.bodies import Picture, announced_bytes, read_pictures
from service.web.state import State, state

LANGUAGES = ("en", "zh")
DEFAULT_TOP_K = 3
TIMEOUT_HEADER = "X-Request-Timeout-Ms"

# These end a whole request, whatever became of its other pictures.
_REFUSALS = (Overloaded, OutOfTime, DeadlineExceeded)

blueprint = Blueprint("api", __name__)


class _Timing:
    """The time of each stage of one request, in seconds; also feeds the histograms."""

    def __init__(self, current: State) -> None:
        self._metrics = current.metrics
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


@blueprint.post("/predict", provide_automatic_options=False)
def predict() -> ResponseReturnValue:
    """Classify the picture or pictures in the request's body."""
    current = state()
    classifier = current.lifecycle.classifier()
    top_k, lang = _parameters(classifier)
    deadline = _deadline(current.settings.request_timeout_sec)
    timing = _Timing(current)
    size = announced_bytes(request.content_length, current.settings.max_body_bytes)
    with _counted_refusals(current), current.admission.enter(size):
        pictures = read_pictures(current.settings.max_body_bytes, current.settings.max_files)
        timing.add("read", timing.began)
        current.metrics.pictures_per_request.observe(len(pictures))
        single = len(pictures) == 1
        results = []
        for number, picture in enumerate(pictures):
            try:
                answer: dict[str, Any] = {
                    "predictions": _classify(
                        current, classifier, picture, deadline, timing, top_k, lang, begun=number > 0
                    )
                }
            except _REFUSALS:
                raise
            except Problem as problem:
                current.metrics.pictures.labels(problem.name).inc()
                if single:
                    raise
                answer = {"error": problem.body()}
            else:
                current.metrics.pictures.labels("classified").inc()
            results.append(answer if single else {"filename": picture.filename, **answer})
    g.timing_ms = timing.as_ms()
    body: dict[str, Any] = results[0] if single else {"results": results}
    model = classifier.describe()
    names = ("architecture", "weights", "precision", "engine")
    return jsonify({**body, "model": {name: model[name] for name in names}, "timing_ms": g.timing_ms})


def _classify(
    current: State,
    classifier: Classifier,
    picture: Picture,
    deadline: Deadline,
    timing: _Timing,
    top_k: int,
    lang: str,
    begun: bool,
) -> list[dict[str, Any]]:
    limits = images.Limits(current.settings.max_picture_pixels, current.settings.max_decoded_pixels)

    def compute() -> Probabilities:
        began = time.perf_counter()
        current.admission.check(deadline, "decoding")
        pixels = images.load(picture.data, classifier.geometry, limits)
        began = timing.add("decode", began)
        current.admission.check(deadline, "inference")
        probabilities = classifier.classify(pixels, alone=current.admission.in_flight == 1)
        timing.add("infer", began)
        return probabilities

    began = time.perf_counter()
    with current.admission.slot(deadline, begun):
        timing.add("wait", began)
        probabilities = current.computing.submit(compute).result()
    found = classifier.top(probabilities, top_k, lang)
    return [{"label": p.label, "index": p.index, "probability": round(p.probability, 6)} for p in found]


@contextlib.contextmanager
def _counted_refusals(current: State) -> Iterator[None]:
    try:
        yield
    except _REFUSALS as problem:
        current.metrics.refused.labels(problem.name).inc()
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
