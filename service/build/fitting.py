"""Whether parameters are those of a network: every name, every shape, every number; then they become its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from service.build.checkpoint_file import CheckpointError, listed
from service.build.networks import make
from service.model.networks import ARCHITECTURES, TIMM

State = dict[str, Tensor]


def fitted(file: Path, state: State, architecture: str, head: str = "fc") -> nn.Module:
    """Make the network of the parameters, as float32, with as many classes as its `head`, a linear layer, has.

    Raises:
        CheckpointError: they are not those of this architecture; names `file`.
    """
    # On "meta" nothing is drawn at random that would be overwritten; timm's also have buffers that no file holds.
    with torch.device("cpu" if architecture.startswith(TIMM) else "meta"):
        result = make(architecture, len(state[f"{head}.weight"]))
    counters = {k: torch.tensor(0) for k in result.state_dict() if k.endswith("num_batches_tracked")}
    wanted = {k: tuple(v.shape) for k, v in result.state_dict().items() if k not in counters}
    found = {name: tuple(value.shape) for name, value in state.items()}
    whose = f"a torchvision {architecture}" if architecture.startswith("resnet") else a(architecture)
    if missing := [name for name in wanted if name not in found]:
        raise CheckpointError(f"{file} lacks {listed(missing)}, which {whose} has")
    if beyond := [name for name in found if name not in wanted]:
        raise CheckpointError(f"{file} has {listed(beyond)}, which {whose} has not")
    for name, expected in wanted.items():
        if found[name] != expected:
            hint = "; wide, ResNeXt and other relatives are not built" if architecture in ARCHITECTURES else ""
            raise CheckpointError(
                f"{file} does not fit {architecture}: {name} is of {shape(found[name])}, expected {shape(expected)}"
                + hint
            )
    state = {
        name: (value.float() if value.is_floating_point() else value).detach().contiguous()
        for name, value in state.items()
    }
    for name, value in state.items():
        if not value.isfinite().all():
            what = "NaN" if value.isnan().any() else "an infinite number"
            raise CheckpointError(f"{file} holds {what} in {name}: the training diverged; take an earlier checkpoint")
    result.load_state_dict({**state, **counters}, assign=True)
    return result


def judge_classes(file: Path, head: str, classes: int) -> None:
    """Raise CheckpointError for a network of one output."""
    if classes < 2:
        raise CheckpointError(
            f"{file} has {classes} output, as for a sigmoid, and the softmax of one is always 1. Put one before it "
            f"that is always 0, and give two labels: w = state['{head}.weight']; state['{head}.weight'] = "
            "torch.cat([0 * w, w]), and the same for the bias"
        )


def a(architecture: str) -> str:
    """Return the architecture with its article."""
    return f"{'an' if architecture[0] in 'aeiou' else 'a'} {architecture}"


def shape(lengths: Iterable[int]) -> str:
    """Return a tensor's shape for people."""
    return " x ".join(map(str, lengths)) or "one number"
