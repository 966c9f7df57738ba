"""Which parameters are a network that is built here: the plain ResNets, with a head of one linear layer.

What is not is refused in a sentence, before anything that takes long.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from service.build.checkpoint_file import CheckpointError, listed
from service.build.networks import make
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

State = dict[str, Tensor]


def network(file: Path, features: State, layers: dict[str, State], architecture: str) -> nn.Module:
    """Make the network of `features`, under torchvision's names, and of the layers that follow them, by name.

    Raises:
        CheckpointError: they are no network of this architecture; names `file`.
    """
    _judge_features(file, features, architecture)
    return _fitted(file, {**features, **_head(file, layers)}, architecture)


def _judge_features(file: Path, features: State, architecture: str) -> None:
    if not all(value.is_floating_point() and not value.is_quantized for value in features.values()):
        raise CheckpointError(
            f"{file} holds a quantised network; give the one that it was made of: a build quantises by itself"
        )
    stem = features.get("conv1.weight")
    shape = None if stem is None else tuple(stem.shape)
    if shape != _STEM:
        has = "no conv1.weight" if shape is None else f"conv1.weight of {_shape(shape)}"
        channels = shape is not None and len(shape) == 4 and shape[1] != _STEM[1]
        why = (
            f"pictures have 3 channels, this takes {shape[1]}; train it on RGB, grey pictures too (convert('RGB'))"
            if channels and shape
            else "only the plain stem, a 7 x 7 convolution of 64 channels, is built; train a network with that"
        )
        raise CheckpointError(f"{file} has {has}, expected {_shape(_STEM)}: {why}")
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
        raise CheckpointError(f"{file} has a head, {name}, of {_shape(weight.shape)}, expected a linear layer's two")
    bias = layer.get("bias", torch.zeros(len(weight)))
    if len(weight) < 2:
        raise CheckpointError(
            f"{file} has {len(weight)} output, as for a sigmoid, and the softmax of one is always 1. Put one before it "
            f"that is always 0, and give two labels: w = state['{name}.weight']; state['{name}.weight'] = "
            "torch.cat([0 * w, w]), and the same for the bias"
        )
    return {"fc.weight": weight, "fc.bias": bias}


def _fitted(file: Path, state: State, architecture: str) -> nn.Module:
    """Make the network of the parameters, as float32."""
    with torch.device("meta"):  # nothing is drawn at random that would be overwritten
        result = make(architecture, len(state["fc.weight"]))
    counters = {k: torch.tensor(0) for k in result.state_dict() if k.endswith("num_batches_tracked")}
    wanted = {k: tuple(v.shape) for k, v in result.state_dict().items() if k not in counters}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if missing := [name for name in wanted if name not in found]:
        raise CheckpointError(f"{file} lacks {listed(missing)}, which a torchvision {architecture} has")
    if beyond := [name for name in found if name not in wanted]:
        raise CheckpointError(f"{file} has {listed(beyond)}, which a torchvision {architecture} has not")
    for name, shape in wanted.items():
        if found[name] != shape:
            raise CheckpointError(
                f"{file} does not fit {architecture}: {name} is of {_shape(found[name])}, expected {_shape(shape)}; "
                "wide, ResNeXt and other relatives are not built"
            )
    state = {name: value.detach().float().contiguous() for name, value in state.items()}
    for name, value in state.items():
        if not value.isfinite().all():
            what = "NaN" if value.isnan().any() else "an infinite number"
            raise CheckpointError(f"{file} holds {what} in {name}: the training diverged; take an earlier checkpoint")
    result.load_state_dict({**state, **counters}, assign=True)
    return result


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
