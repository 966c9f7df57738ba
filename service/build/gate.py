"""The accuracy gate: whether INT8 is good enough to be what a bundle is served with by default."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.build.pictures import PictureSet
from service.build.reporter import Reporter
from service.model.engines.base import Engine

# INT8 becomes a bundle's default only where its likeliest label is FP32's on this share of pictures that calibration
# did not see.
AGREEMENT_GATE = 0.97


def judge(
    fp32: Engine, int8: Engine, pictures: PictureSet, report: Reporter
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Compare both networks on the pictures that calibration did not see.

    Returns:
        What the manifest says of accuracy, None where the pictures have no labels, and of agreement; shares of 1.
    """
    likeliest: dict[str, list[int]] = {"fp32": [], "int8": []}
    with report.progress("Comparing INT8 with FP32", len(pictures.judging)) as step:
        for picture in pictures.judging:
            for engine in (fp32, int8):
                likeliest[engine.precision].append(int(engine.logits(picture[None]).argmax()))
            step()
    names = {key: np.array(value) for key, value in likeliest.items()}
    agreement = {
        "top1": round(float(np.mean(names["fp32"] == names["int8"])), 4),
        "pictures": len(pictures.judging),
        "calibration_pictures": len(pictures.calibration),
        "source": pictures.source,
        "gate": AGREEMENT_GATE,
    }
    if pictures.judging_labels is None:
        return None, agreement
    accuracy: dict[str, Any] = {
        key: round(float(np.mean(value == pictures.judging_labels)), 4) for key, value in names.items()
    }
    report.say(f"Held-out accuracy: FP32 {accuracy['fp32']:.1%}, INT8 {accuracy['int8']:.1%}")
    return {**accuracy, "pictures": len(pictures.judging)}, agreement


def passed(agreement: dict[str, Any], report: Reporter) -> bool:
    """Return whether INT8 may be the default, and say so."""
    met: bool = agreement["top1"] >= AGREEMENT_GATE
    report.say(
        f"INT8 and FP32 name the same label for {agreement['top1']:.1%} of {agreement['pictures']} pictures "
        f"that calibration did not see (gate {AGREEMENT_GATE:.0%}): {'INT8' if met else 'FP32'} is the default"
    )
    return met
