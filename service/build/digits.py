"""The small stand-in model: ResNet-18 trained on scikit-learn's handwritten digits, in under a minute on two cores.

It exists so that everything else can be tried where the official weights cannot be reached. The pictures are 8 x 8
pixels of ink; they are shown to the network as dark ink on white paper, like anything that a person would photograph.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from service.build.networks import PixelNetwork, make

SIZE = 32  # the least input of a ResNet: its last plane is 1 x 1
CLASSES = 10
EPOCHS = 7
_BATCH = 64
_PEAK_RATE = 2e-3
_HELD_OUT = 0.2
_INK_LEVELS = 16  # scikit-learn's digits hold 0 (paper) to 16 (ink)

Pictures = npt.NDArray[np.uint8]  # [N, SIZE, SIZE, 3]


@dataclass(frozen=True)
class Digits:
    """The pictures, uint8 [N, SIZE, SIZE, 3], and what they show, int64 [N]; a fifth is held out from training."""

    train: Pictures
    train_labels: npt.NDArray[np.int64]
    held_out: Pictures
    held_out_labels: npt.NDArray[np.int64]


def load() -> Digits:
    """Return the digits, always split in the same way, with equal shares of every class."""
    data = load_digits()
    ink = torch.from_numpy(data.images / _INK_LEVELS).float()[:, None]  # [N, 1, 8, 8], 0..1
    big = nn.functional.interpolate(ink, (SIZE, SIZE), mode="bicubic", align_corners=False).clamp(0, 1)
    paper = (255 * (1 - big)).round().to(torch.uint8)
    pictures = paper.permute(0, 2, 3, 1).repeat(1, 1, 1, 3).numpy()  # [N, SIZE, SIZE, 3]
    labels = data.target.astype(np.int64)
    train, held_out, train_labels, held_out_labels = train_test_split(
        pictures, labels, test_size=_HELD_OUT, random_state=0, stratify=labels
    )
    return Digits(train, train_labels, held_out, held_out_labels)


def train(digits: Digits, on_step: Callable[[float], None] | None = None, epochs: int = EPOCHS) -> nn.Module:
    """Train a ResNet-18 from scratch, with a fixed seed.

    Args:
        digits: what to train on; the held-out fifth is not looked at.
        on_step: called after each of `steps(digits)` batches with its loss.
        epochs: passes over the training pictures.

    Returns:
        The trained torchvision network, in evaluation mode.
    """
    torch.manual_seed(0)
    network = make("resnet18", CLASSES)
    with last_planes_alone(network):
        _train(PixelNetwork(network).train(), digits, on_step, epochs)
    return network.eval()


@contextlib.contextmanager
def last_planes_alone(network: nn.Module) -> Iterator[None]:
    """Let the last stage convolve pictures of SIZE without its margins: the same results in half the time.

    Its planes are 2 x 2 and then 1 x 1 pixel, so that most of each 3 x 3 kernel meets padding only. PyTorch computes
    those products, and their gradients of 0, too: a third of a training.
    """
    convolutions = [
        module
        for module in network.get_submodule("layer4").modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]
    for convolution in convolutions:
        # From 1 x 1 the kernel's centre meets the pixel; from 2 x 2, with stride 2, its last two rows and columns do.
        met = slice(1, 2) if convolution.stride == (1, 1) else slice(1, 3)
        convolution.forward = functools.partial(_convolve, convolution, met)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for convolution in convolutions:
            del convolution.forward


def _convolve(convolution: nn.Conv2d, met: slice, x: Tensor) -> Tensor:
    return nn.functional.conv2d(x, convolution.weight[:, :, met, met])


def _train(pixel_network: PixelNetwork, digits: Digits, on_step: Callable[[float], None] | None, epochs: int) -> None:
    pictures, labels = torch.from_numpy(digits.train), torch.from_numpy(digits.train_labels)
    optimizer = torch.optim.AdamW(pixel_network.parameters(), lr=_PEAK_RATE, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=epochs * _batches(len(pictures)))
    for _ in range(epochs):
        order = torch.randperm(len(pictures))
        for batch in order.split(_BATCH):
            logits = pixel_network(_augment(pictures[batch]))  # [B, CLASSES]
            loss = nn.functional.cross_entropy(logits, labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if on_step:
                on_step(loss.item())


def steps(digits: Digits, epochs: int = EPOCHS) -> int:
    """Return the number of batches that `train` goes through."""
    return epochs * _batches(len(digits.train))


def _batches(pictures: int) -> int:
    return -(-pictures // _BATCH)


def _augment(pictures: Tensor) -> Tensor:
    """Turn, shift, scale, fade and invert a batch [B, H, W, 3] at random: a person's digits are not centred."""
    count = len(pictures)
    angle = (torch.rand(count) - 0.5) * 0.5  # radians, +- 14 degrees
    scale = 0.8 + 0.7 * torch.rand(count)  # above 1 the digit gets smaller
    shift = (torch.rand(count, 2) - 0.5) * 0.3
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    x = 255 - pictures.permute(0, 3, 1, 2).float()  # [B, 3, H, W], paper is 0, as the padding is
    grid = nn.functional.affine_grid(matrix, list(x.shape), align_corners=False)
    x = nn.functional.grid_sample(x, grid, align_corners=False)
    x = x * (0.5 + 0.5 * torch.rand(count, 1, 1, 1))  # fainter ink
    inverted = (torch.rand(count, 1, 1, 1) < 0.3).float()  # chalk on a blackboard
    x = inverted * x + (1 - inverted) * (255 - x)
    return x.round().to(torch.uint8).permute(0, 2, 3, 1)
