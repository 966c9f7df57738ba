"""How weights become 8-bit integers: scales with which no processor saturates, and what rounding costs on average.

Processors without VNNI (AVX2, AVX-512 of before 2019) multiply bytes in pairs and add both products in 16 signed bits,
which saturate. Which pairs was measured with weights and activations at their limits, run by OpenVINO: the neighbours
2k and 2k + 1 among a filter's input channels at one tap; none in a depthwise convolution (docs/decisions.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.floating]  # [outputs, inputs of one output's group, taps]

_LARGEST = 127  # symmetric: -128 is not used
# 255 * 128 = 32,640 fits into 16 signed bits and 255 * 129 does not; rounding two weights adds 1 at most.
_LARGEST_PAIR = 127


def scales(weights: Weights) -> npt.NDArray[np.float32]:
    """Return the finest symmetric scale of each output channel with which no pair saturates: float32 [outputs]."""
    result = np.abs(weights).max((1, 2)) / _LARGEST
    if weights.shape[1] > 1:
        result = np.maximum(result, np.maximum(_pairs(weights), _pairs(-weights)) / _LARGEST_PAIR)
    # A channel of zeros alone takes any scale, but its bias is stored in units of it.
    return np.where(result > 0, result, result.max() or 1).astype(np.float32)


def _pairs(weights: Weights) -> npt.NDArray[np.floating]:
    """Return the largest sum of positive weights that may be added in 16 bits: [outputs]."""
    positive = np.maximum(weights, 0)
    if weights.shape[1] % 2:  # then engines differ in where a pair begins: any two
        flat = positive.reshape(len(weights), -1)
        largest: npt.NDArray[np.floating] = np.partition(flat, -2)[:, -2:].sum(1)
    else:
        largest = (positive[:, 0::2] + positive[:, 1::2]).max((1, 2))
    return largest


def mean_error(
    weights: Weights, scale: npt.NDArray[np.float32], means: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """Return what a layer's outputs lose on average when its weights are rounded: float32 [outputs].

    Added to the bias, it corrects it (Nagel et al., "Data-Free Quantization through Weight Equalization and Bias
    Correction", ICCV 2019, section 4.2). Where a filter reaches beyond the border it is a little too large.

    Args:
        weights: as they are.
        scale: float32 [outputs], what they are rounded to multiples of.
        means: [input channels], the mean of each over pictures and plane.
    """
    rounded = np.clip(np.round(weights / scale[:, None, None]), -_LARGEST, _LARGEST) * scale[:, None, None]
    lost = (weights - rounded).sum(2)  # [outputs, inputs of the group]
    groups = means.reshape(-1, weights.shape[1])  # [groups, inputs of the group]
    result: npt.NDArray[np.float32] = (lost * np.repeat(groups, len(weights) // len(groups), axis=0)).sum(1)
    return result.astype(np.float32)
