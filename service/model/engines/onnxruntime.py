"""ONNX Runtime: the most widespread engine for the same files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.model.engines.base import Engine


class ONNXRuntimeEngine(Engine):
    """ONNX Runtime on the processor."""

    name = "onnxruntime"

    def __init__(self, files: Sequence[Path], precision: str, threads: int, input_size: int) -> None:  # noqa: ARG002  # any size
        import onnxruntime

        self.precision, self.threads = precision, threads
        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would burn the processor that the next request's decoding needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(files[0], options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.gives_features = len(self._outputs) > 1

    def _run(self, pixels: npt.NDArray[np.uint8], exclusive: bool, outputs: int) -> list[npt.NDArray[np.float32]]:  # noqa: ARG002  # one form only
        result: list[npt.NDArray[np.float32]] = self._session.run(self._outputs[:outputs], {self._input: pixels})
        return result
