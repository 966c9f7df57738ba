"""Where in a file of weights a network is: under any keys, behind any prefix.

It is found by the names of its parameters: a ResNet by those that torchvision gives them, with a head of any name;
other architectures by the names that they have here, or in timm.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.build import resnet
from service.build.checkpoint_file import SAVE, CheckpointError, listed, read
from service.build.fitting import State, a, fitted, judge_classes
from service.build.networks import head_and_anchor
from service.build.resnet import FEATURES

_RESNET_ANCHOR = "layer1.0.conv1.weight"  # every ResNet has it, whatever its stem and its head
_DEEPEST = 50  # keys that lead to a network
_AVERAGED = re.compile(r"(^|[._])ema([._]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Checkpoint:
    """A network with a file's parameters; `remark` says which, where the file held several."""

    network: nn.Module
    classes: int
    remark: str


@dataclass(frozen=True)
class _Place:
    """Where in a file a network was found: behind `prefix` in the mapping that `keys` lead to."""

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
    def own(self) -> State:
        """Return everything behind the prefix."""
        found = {
            name.removeprefix(self.prefix): value
            for name, value in self.tensors.items()
            if name.startswith(self.prefix)
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
        return name.startswith(tuple(self.prefix + part for part in FEATURES))


def load(file: Path, architecture: str) -> Checkpoint:
    """Read a file of weights and make the network of it.

    Raises:
        CheckpointError: it is missing, no checkpoint, or holds no network of this kind.
    """
    if architecture.startswith("resnet"):
        content = read(file)
        place, remark = _choose(file, architecture, _RESNET_ANCHOR, content)
        made = resnet.network(file, place.features, place.layers, architecture)
        return Checkpoint(made, made.get_submodule("fc").get_parameter("bias").numel(), remark)
    head, anchor = head_and_anchor(architecture)
    place, remark = _choose(file, architecture, anchor, read(file))
    state = place.own
    if (weight := state.get(f"{head}.weight")) is None or weight.ndim != 2:
        raise CheckpointError(f"{file} holds no {head}.weight of classes x features, the head of {a(architecture)}")
    judge_classes(file, head, len(weight))
    return Checkpoint(fitted(file, state, architecture, head), len(weight), remark)


def _states(content: object) -> Iterator[tuple[tuple[str, ...], State]]:
    """Find what holds tensors by name, in nested mappings and sequences, and the keys that lead there."""
    for keys, items in _containers(content):
        if found := {name: value for name, value in items if isinstance(name, str) and isinstance(value, Tensor)}:
            yield keys, found


def _containers(content: object) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, Any]]]]:
    """Find what nested mappings and sequences hold, and the keys that lead there; a history may have millions."""
    waiting: deque[tuple[tuple[str, ...], object]] = deque([((), content)])
    seen: set[int] = set()  # a pickle may hold itself
    while waiting:
        keys, thing = waiting.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Mapping | list | tuple):
            items = list(thing.items() if isinstance(thing, Mapping) else enumerate(thing))
            yield keys, items
            if len(keys) < _DEEPEST:
                waiting.extend(
                    ((*keys, str(name)), value) for name, value in items if isinstance(value, Mapping | list | tuple)
                )


def _places(content: object, anchor: str) -> Iterator[_Place]:
    """Find every network that has a parameter of this name."""
    for keys, tensors in _states(content):
        prefixes = [name.removesuffix(anchor) for name in tensors if f".{name}".endswith(f".{anchor}")]
        owners = {
            name: max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default=None)
            for name in tensors
        }
        for prefix in prefixes:
            own = {name: value for name, value in tensors.items() if owners[name] in (prefix, None)}
            yield _Place(keys, prefix, own)


def _judge_tensors(file: Path, place: _Place) -> None:
    for name, value in place.tensors.items():
        if value.layout != torch.strided:
            raise CheckpointError(f"{file} holds {name} as a sparse tensor: save it with to_dense()")
        if value.is_meta:
            raise CheckpointError(
                f"{file} holds no numbers for {name}, its shape alone: save it before it goes to meta"
            )


def _choose(file: Path, architecture: str, anchor: str, content: object) -> tuple[_Place, str]:
    """Return the one network that is meant, and a remark where there were several."""
    places = list(_places(content, anchor))
    for place in places:
        _judge_tensors(file, place)
    # One network may be there under two names; the one with a head of its own is whole.
    places = sorted(places, key=lambda place: place.prefix + "fc.weight" not in place.tensors)
    distinct = list({place.tensors[place.prefix + anchor].data_ptr(): place for place in reversed(places)}.values())
    averaged = [place for place in distinct if _AVERAGED.search(str(place))]
    if len(distinct) == 1:
        return distinct[0], ""
    if len(averaged) == 1:
        # As timm does: whoever keeps an average of the parameters judges the network by it.
        others = listed([str(place) for place in distinct if place is not averaged[0]])
        taken = listed([str(averaged[0])])
        return averaged[0], f"{file.name}: taking the averaged parameters, {taken}, rather than {others}"
    if distinct:
        raise CheckpointError(
            f"{file} holds {len(distinct)} networks: {listed([str(place) for place in distinct])}. Save the one "
            f"that is meant, alone: {SAVE}"
        )
    things = [content, *(value for _, items in _containers(content) for _, value in items)]
    if any("_modules" in getattr(thing, "__dict__", {}) for thing in things):
        raise CheckpointError(
            f"{file} holds a whole model, which is code; save its parameters alone where it was trained: "
            f'torch.save(torch.load("{file.name}", weights_only=False).state_dict(), "weights.pth")'
        )
    if any(str(name).endswith(anchor) for _, items in _containers(content) for name, _ in items):
        raise CheckpointError(f"{file} holds parameters that are no tensors of PyTorch, but NumPy's or others: {SAVE}")
    whose = "a torchvision ResNet" if anchor == _RESNET_ANCHOR else a(architecture)
    _, tensors = next(_states(content), ((), {}))
    names = [str(name) for name in tensors or (content if isinstance(content, Mapping) else ())]
    raise CheckpointError(
        f"{file} holds no parameters of {whose}: nowhere a {anchor}, but "
        f"{listed(names) or 'a ' + type(content).__name__}"
    )
