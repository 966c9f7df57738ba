"""Which parameters are a network that is built here: the plain ResNets, with a head of one linear layer.

What is not is refused in a sentence, before anything that takes long.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from service.build.checkpoint_file import CheckpointError, listed
from service.build.fitting import State, fitted, judge_classes, shape
from service.model.networks import ARCHITECTURES

FEATURES = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")  # what comes before the head
BUILT = tuple(name for name in ARCHITECTURES if name.startswith("resnet"))
_STEM = (64, 3, 7, 7)  # [out, in, height, width]
# Blocks of layer1 to layer4, and whether they have a third convolution.
_KINDS: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}


def network(file: Path, features: State, layers: dict[str, State], architecture: str) -> nn.Module:
    """Make the network of `features`, under torchvision's names, and of the layers that follow them, by name.

    Raises:
        CheckpointError: they are no network of this architecture; names `file`.
    """
    _judge_features(file, features, architecture)
    return fitted(file, {**features, **_head(file, layers)}, architecture)


def _judge_features(file: Path, features: State, architecture: str) -> None:
    if not all(value.is_floating_point() and not value.is_quantized for value in features.values()):
        raise CheckpointError(
            f"{file} holds a quantised network; give the one that it was made of: a build quantises by itself"
        )
    stem = features.get("conv1.weight")
    found_stem = None if stem is None else tuple(stem.shape)
    if found_stem != _STEM:
        has = "no conv1.weight" if found_stem is None else f"conv1.weight of {shape(found_stem)}"
        channels = found_stem is not None and len(found_stem) == 4 and found_stem[1] != _STEM[1]
        why = (
            f"pictures have 3 channels, this takes {found_stem[1]}; train it on RGB, grey pictures too (convert('RGB'))"
            if channels and found_stem
            else "only the plain stem, a 7 x 7 convolution of 64 channels, is built; train a network with that"
        )
        raise CheckpointError(f"{file} has {has}, expected {shape(_STEM)}: {why}")
    blocks = tuple(len({name.split(".")[1] for name in features if name.startswith(part)}) for part in FEATURES[2:])
    found = _KINDS.get((blocks, "layer1.0.conv3.weight" in features))
    if found in BUILT and found != architecture:
        raise CheckpointError(f"{file} does not fit {architecture}: it is a {found}; add --arch {found}")
    if found != architecture:
        what = f"a {found}" if found else f"of {', '.join(map(str, blocks))} blocks"
        raise CheckpointError(f"{file} is {what}; only {', '.join(BUILT)} are built")


def _head(file: Path, layers: dict[str, State]) -> State:
    """Return the one linear layer of the head as fc.weight [classes, features] and fc.bias [classes]."""
    if not layers:
        raise CheckpointError(f"{file} holds no head (fc.weight): it knows no classes. Train one, and save the whole")
    if len(layers) > 1:
        raise CheckpointError(
            f"{file} cannot be used: its head has {len(layers)} layers: {listed(list(layers))}. "
            "One linear layer is what is built; train a head of one, or leave out what is not the head"
        )
    ((name, layer),) = layers.items()
    weight = layer["weight"]
    if weight.ndim != 2 or not weight.is_floating_point():
        raise CheckpointError(f"{file} has a head, {name}, of {shape(weight.shape)}, expected a linear layer's two")
    bias = layer.get("bias", torch.zeros(len(weight)))
    judge_classes(file, name, len(weight))
    return {"fc.weight": weight, "fc.bias": bias}
