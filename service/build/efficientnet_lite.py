"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6, its stem and head unscaled.

Tan and Le, arXiv:1905.11946; Lite is Google's own variant for processors and integers (tensorflow/tpu,
models/official/efficientnet/lite). Parameters have the names that the usual file of its weights gives them.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

_EPSILON = 1e-3  # TensorFlow's batch normalisation
_STEM, _HEAD = 32, 1280
# Stages: blocks, kernel, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Float32 [N, 3, H, W] to [N, classes]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self._conv_stem = _SameConvolution(3, _STEM, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(_STEM, _EPSILON)
        self._blocks = nn.ModuleList()
        channels = _STEM
        for blocks, kernel, first_stride, expansion, out_channels in _STAGES:
            for index in range(blocks):
                stride = 1 if index else first_stride
                self._blocks.append(_Block(channels, out_channels, kernel, stride, expansion))
                channels = out_channels
        self._conv_head = nn.Conv2d(channels, _HEAD, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(_HEAD, _EPSILON)
        self._fc = nn.Linear(_HEAD, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def trunk(self) -> nn.Sequential:
        """Return what comes before the mean over the plane: [N, 3, H, W] to [N, 1280, H / 32, W / 32]."""
        return nn.Sequential(
            self._conv_stem, self._bn0, nn.ReLU6(), *self._blocks, self._conv_head, self._bn1, nn.ReLU6()
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self._fc(self.trunk()(x).mean((2, 3)))
        return logits


class _Block(nn.Module):
    """An inverted bottleneck: expand, convolve each channel by itself, project; added to its input where that fits."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self._expands = expansion != 1
        self._adds = stride == 1 and channels == out_channels
        if self._expands:
            self._expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, _EPSILON)
        self._depthwise_conv = _SameConvolution(wide, wide, kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, _EPSILON)
        self._project_conv = nn.Conv2d(wide, out_channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out_channels, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        inner = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        inner = nn.functional.relu6(self._bn1(self._depthwise_conv(inner)))
        projected: Tensor = self._bn2(self._project_conv(inner))
        return projected + x if self._adds else projected


class _SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow does it: ceil(H / stride) rows out; an odd row of padding goes below."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, groups: int = 1) -> None:
        symmetric = 0 if stride > 1 else kernel // 2
        super().__init__(channels, out_channels, kernel, stride, symmetric, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            x = nn.functional.pad(x, [*self._padding(x.shape[3]), *self._padding(x.shape[2])])
        return super().forward(x)

    def _padding(self, length: int | Tensor) -> tuple[int, int]:
        if isinstance(length, Tensor):  # while it is traced, and the graph is for pictures of one size
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
                length = int(length)
        out = -(-length // self.stride[0])
        missing = max(0, (out - 1) * self.stride[0] + self.kernel_size[0] - length)
        return missing // 2, missing - missing // 2
