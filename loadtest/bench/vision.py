"""torchvision beside a torch without CUDA: wheels from the package registry then miss operators that nothing needs."""

from __future__ import annotations

import torch

# Declarations live as long as this object.
_library = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402  # only after the operators are declared

__all__ = ["torchvision"]
