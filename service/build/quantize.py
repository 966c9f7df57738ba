"""FP32 ONNX becomes INT8 ONNX: static, a scale per output channel, calibrated on pictures.

ONNX Runtime's quantiser writes the network; why not NNCF is in docs/decisions.md.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from service.build.export import INPUT
from service.build.pictures import Batch


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    def __init__(self, pictures: Batch, on_picture: Callable[[], None] | None) -> None:
        self._feed: Iterator[np.ndarray[Any, Any]] = iter(pictures)
        self._on_picture = on_picture

    def get_next(self) -> dict[str, Any] | None:
        picture = next(self._feed, None)
        if picture is None:
            return None
        if self._on_picture:
            self._on_picture()
        return {INPUT: picture[None]}  # [1, H, W, 3]


def quantize(source: Path, target: Path, pictures: Batch, on_picture: Callable[[], None] | None = None) -> None:
    """Quantise `source` to `target`.

    Args:
        source: an FP32 ONNX file as `export.to_onnx` writes it.
        target: where the INT8 file goes.
        pictures: uint8 [N, H, W, 3] to calibrate on.
        on_picture: called for each picture.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # it warns through the root logger of nodes that it leaves in FP32 on purpose
        try:
            quantize_static(
                str(prepared),
                str(target),
                _Reader(pictures, on_picture),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                # 7-bit weights: without VNNI two 8-bit products are summed in 16 bits and can saturate. A bundle is
                # built on one machine and served on others, so it must be right on all of them.
                reduce_range=True,
            )
        finally:
            root.setLevel(level)
