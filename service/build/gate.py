"""The accuracy gate: whether INT8 is good enough to be what a bundle is served with by default.

What was measured decides; how much that proves is said, and stands in the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.build import intervals, quantize
from service.build.folder_labels import UNKNOWN
from service.build.pictures import PictureSet
from service.build.reporter import Reporter
from service.model.engines.base import Engine

# INT8 becomes a bundle's default only where, of pictures that calibration did not see, its likeliest label is FP32's on
# this share,
AGREEMENT_GATE = 0.97
# and where they have labels, it gets no more than this share less of them right.
LOSS_GATE = 0.005

_Classes = npt.NDArray[np.int64]  # [pictures]


@dataclass(frozen=True)
class Verdict:
    """What the manifest says of accuracy, None where no picture has a label, and of agreement; shares of 1."""

    accuracy: dict[str, Any] | None
    agreement: dict[str, Any]
    passed: bool


def judge(fp32: Engine, int8: Engine, pictures: PictureSet, report: Reporter) -> Verdict:
    """Compare both networks on the pictures that calibration did not see, and say what came of it."""
    likeliest: dict[str, list[int]] = {"fp32": [], "int8": []}
    with report.progress("Comparing INT8 with FP32", len(pictures.judging)) as step:
        for picture in pictures.judging:
            for engine in (fp32, int8):
                likeliest[engine.precision].append(int(engine.logits(picture[None]).argmax()))
            step()
    exact, quantised = (np.array(likeliest[key]) for key in ("fp32", "int8"))
    agreement = _agreement(exact, quantised, pictures)
    accuracy = None if pictures.judging_labels is None else _accuracy(exact, quantised, pictures.judging_labels)
    reasons = [_told_agreement(agreement), *([_told_accuracy(accuracy)] if accuracy else [])]
    passed = agreement["top1"] >= AGREEMENT_GATE and (accuracy is None or accuracy["lost"] <= LOSS_GATE)
    report.say(f"{'; '.join(reasons)}: {'INT8' if passed else 'FP32'} is the default")
    return Verdict(accuracy, agreement, passed)


def _agreement(exact: _Classes, quantised: _Classes, pictures: PictureSet) -> dict[str, Any]:
    same = int((exact == quantised).sum())
    # Crops of one photograph are no independent pictures: an interval of them would claim too much.
    proven = None if pictures.judging_photographs else _rounded(intervals.wilson(same, len(exact)))
    return {
        "top1": round(same / len(exact), 4),
        "interval": proven,
        "pictures": len(exact),
        "photographs": pictures.judging_photographs or len(exact),
        "calibration_pictures": len(pictures.calibration),
        "source": pictures.source,
        "gate": AGREEMENT_GATE,
        "quantized": quantize.METHOD,
    }


def _accuracy(exact: _Classes, quantised: _Classes, labels: _Classes) -> dict[str, Any]:
    known = labels != UNKNOWN
    first, second = ((likeliest == labels)[known] for likeliest in (exact, quantised))
    table = [int(both.sum()) for both in (first & second, first & ~second, ~first & second, ~first & ~second)]
    return {
        "fp32": round(float(first.mean()), 4),
        "int8": round(float(second.mean()), 4),
        "lost": round(float(first.mean() - second.mean()), 4),
        "interval": _rounded(intervals.paired_difference(*table)),
        "pictures": int(known.sum()),
        "gate": LOSS_GATE,
    }


def _rounded(interval: intervals.Interval) -> list[float]:
    return [round(end, 4) for end in interval]


def _told_agreement(agreement: dict[str, Any]) -> str:
    told = f"INT8 and FP32 name the same label for {agreement['top1']:.1%} of {agreement['pictures']} "
    told += "pictures that calibration did not see" if agreement["interval"] else "crops that calibration did not see"
    told += f" (gate {AGREEMENT_GATE:.0%}"
    if agreement["interval"] is None:
        return f"{told}, by {agreement['photographs']} photographs: too few to prove it, --calibration takes yours)"
    low, high = agreement["interval"]
    return f"{told}, {'' if low >= AGREEMENT_GATE else 'not proven: '}95% confidence {low:.1%} to {high:.1%})"


def _told_accuracy(accuracy: dict[str, Any]) -> str:
    low, high = (100 * end for end in accuracy["interval"])
    return (
        f"of {accuracy['pictures']} with a label FP32 gets {accuracy['fp32']:.1%} right, INT8 {accuracy['int8']:.1%}, "
        f"{100 * accuracy['lost']:.1f} points lost (gate {100 * LOSS_GATE:.1f}, "
        f"{'' if high <= 100 * LOSS_GATE else 'not proven: '}95% confidence {low:.1f} to {high:.1f})"
    )
