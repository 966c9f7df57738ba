"""The one place that imports torchvision, and the reason why it needs preparing.

torchvision's Linux wheels on the package registry are built for CUDA. Beside a CPU-only torch their compiled operators
do not load, and the import fails because it describes operators that were never declared ("operator torchvision::nms
does not exist"). Classification needs none of them, so they are declared here, without an implementation, before the
import. Where the operators do load, the declarations are there already and nothing is done.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# A library's declarations live as long as this object.
_library: torch.library.Library | None = None


def _operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed: pip install -r requirements/torch.txt")
    for file in Path(spec.origin).parent.glob("_C*"):
        if file.suffix not in (".so", ".pyd"):
            continue
        try:
            torch.ops.load_library(str(file))
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")


def _import() -> Any:
    global _library  # noqa: PLW0603  # the declarations must outlive this call, once for the process
    if _library is None and not _operators_load():
        _library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            _library.define(operator + _SIGNATURE)
    return importlib.import_module("torchvision")


torchvision = _import()
