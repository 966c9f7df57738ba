"""The parameters of a ResNet, wherever a training script has put them in its file, become a network.

Found by the names that torchvision gives them: under any keys, behind any prefix, with a head of any name. What cannot
be used is refused in a sentence, before anything that takes long.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from service.build.checkpoint_file import SAVE, CheckpointError, listed, read
from service.build.networks import make
from service.build.options import ARCHITECTURES

_ANCHOR = "layer1.0.conv1.weight"  # every ResNet has it, whatever its stem and its head
_FEATURES = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")
_STEM = (64, 3, 7, 7)  # [out, in, height, width]
# Blocks of layer1 to layer4, and whether they have a third convolution.
_KINDS: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}
_AVERAGED = re.compile(r"(^|[._])ema([._]|$)", re.IGNORECASE)

State = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A network with a file's parameters; `remark` says which, where the file held several."""

    network: nn.Module
    classes: int
    remark: str


@dataclass(frozen=True)
class _Place:
    """Where in a file a ResNet was found: behind `prefix` in the mapping that `keys` lead to."""

    keys: tuple[str, ...]
    prefix: str
    tensors: State  # of that mapping, without those of other networks in it

    def __str__(self) -> str:
        return ".".join([*self.keys, self.prefix]).rstrip(".") or "(no key)"

    @property
    def features(self) -> State:
        """Return the parameters before the head, under torchvision's names."""
        found = {
            name.removeprefix(self.prefix): value for name, value in self.tensors.items() if self._is_feature(name)
        }
        return {name: value for name, value in found.items() if not name.endswith("num_batches_tracked")}

    @property
    def layers(self) -> dict[str, State]:
        """Return what comes after them: by name each layer's tensors."""
        modules: dict[str, State] = defaultdict(dict)
        for name, value in self.tensors.items():
            if not self._is_feature(name):
                module, _, leaf = name.removeprefix(self.prefix).rpartition(".")
                modules[module][leaf] = value
        # Losses and metrics, which trainers keep here too, have a weight alone, of one dimension.
        return {
            name: leaves
            for name, leaves in modules.items()
            if "weight" in leaves and (leaves["weight"].ndim > 1 or "bias" in leaves)
        }

    def _is_feature(self, name: str) -> bool:
        return name.startswith(tuple(self.prefix + part for part in _FEATURES))


def load(file: Path, architecture: str) -> Checkpoint:
    """Read a file of weights and make the network of it.

    Raises:
        CheckpointError: it is missing, no checkpoint, or holds no network of this kind.
    """
    content = read(file)
    place, remark = _choose(file, list(_places(content)), content)
    features = place.features
    _judge_features(file, features, architecture)
    head = _head(file, place)
    classes = len(head["fc.weight"])
    return Checkpoint(_network(file, {**features, **head}, architecture), classes, remark)


def _places(content: object) -> Iterator[_Place]:
    """Find every ResNet in nested mappings and sequences."""
    seen: set[int] = set()  # a pickle may hold itself

    def walk(thing: object, keys: tuple[str, ...]) -> Iterator[_Place]:
        if not isinstance(thing, Mapping | list | tuple) or id(thing) in seen:
            return
        seen.add(id(thing))
        items = list(thing.items() if isinstance(thing, Mapping) else enumerate(thing))
        tensors = {name: value for name, value in items if isinstance(name, str) and isinstance(value, Tensor)}
        prefixes = [name.removesuffix(_ANCHOR) for name in tensors if f".{name}".endswith(f".{_ANCHOR}")]
        owners = {
            name: max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default=None)
            for name in tensors
        }
        for prefix in prefixes:
            own = {name: value for name, value in tensors.items() if owners[name] in (prefix, None)}
            yield _Place(keys, prefix, own)
        for name, value in items:
            yield from walk(value, (*keys, str(name)))

    yield from walk(content, ())


def _choose(file: Path, places: list[_Place], content: object) -> tuple[_Place, str]:
    """Return the one network that is meant, and a remark where there were several."""
    # One network may be there under two names; the one with a head of its own is whole.
    places = sorted(places, key=lambda place: place.prefix + "fc.weight" not in place.tensors)
    distinct = list({place.tensors[place.prefix + _ANCHOR].data_ptr(): place for place in reversed(places)}.values())
    averaged = [place for place in distinct if _AVERAGED.search(str(place))]
    if len(distinct) == 1:
        return distinct[0], ""
    if len(averaged) == 1:
        # As timm does: whoever keeps an average of the parameters judges the network by it.
        others = listed([str(place) for place in distinct if place is not averaged[0]])
        return averaged[0], f"{file.name}: taking the averaged parameters, {averaged[0]}, rather than {others}"
    if distinct:
        raise CheckpointError(
            f"{file} holds {len(distinct)} networks: {listed([str(place) for place in distinct])}. Save the one "
            f"that is meant, alone: {SAVE}"
        )
    if isinstance(content, Mapping) and any(
        "_modules" in getattr(x, "__dict__", {}) for x in (content, *content.values())
    ):
        raise CheckpointError(
            f"{file} holds a whole model, which is code; save its parameters alone where it was trained: "
            f'torch.save(torch.load("{file.name}", weights_only=False).state_dict(), "weights.pth")'
        )
    names = _tensor_names(content) or ([str(name) for name in content] if isinstance(content, Mapping) else [])
    raise CheckpointError(
        f"{file} holds no parameters of a torchvision ResNet: nowhere a {_ANCHOR}, but "
        f"{listed(names) or 'a ' + type(content).__name__}"
    )


def _tensor_names(content: object) -> list[str]:
    """Return the names of the tensors of the first mapping that holds any."""
    if not isinstance(content, Mapping):
        return []
    names = [str(name) for name, value in content.items() if isinstance(value, Tensor)]
    return names or next((found for value in content.values() if (found := _tensor_names(value))), [])


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
    blocks = tuple(len({name.split(".")[1] for name in features if name.startswith(part)}) for part in _FEATURES[2:])
    found = _KINDS.get((blocks, "layer1.0.conv3.weight" in features))
    if found in ARCHITECTURES and found != architecture:
        raise CheckpointError(f"{file} does not fit {architecture}: it is a {found}; add --arch {found}")
    if found != architecture:
        what = f"a {found}" if found else f"of {', '.join(map(str, blocks))} blocks"
        raise CheckpointError(f"{file} is {what}; only {', '.join(ARCHITECTURES)} are built")


def _head(file: Path, place: _Place) -> State:
    """Return the one linear layer of the head as fc.weight [classes, features] and fc.bias [classes]."""
    layers = place.layers
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


def _network(file: Path, state: State, architecture: str) -> nn.Module:
    """Make the network of the parameters, as float32."""
    with torch.device("meta"):  # nothing is drawn at random that would be overwritten
        network = make(architecture, len(state["fc.bias"]))
    counters = {k: torch.tensor(0) for k in network.state_dict() if k.endswith("num_batches_tracked")}
    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items() if k not in counters}
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
    network.load_state_dict({**state, **counters}, assign=True)
    return network


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
