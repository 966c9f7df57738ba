"""A person's own file of weights, as the usual scripts save it: read, or refused in a sentence that helps."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import enum
import functools
import io
import pathlib
import pickle
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.build import checkpoint
from service.build.checkpoint_file import CheckpointError
from service.build.networks import make

pytestmark = pytest.mark.slow

_KERNEL = "layer1.0.conv1.weight"
State = dict[str, Tensor]
CLASSES = 4


@functools.cache
def shapes_of(architecture: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: value.shape for name, value in make(architecture, CLASSES).state_dict().items()}


def state_of(architecture: str = "resnet18", offset: float = 1.0) -> State:
    """A state dictionary of the right names and shapes in a file of kilobytes: each tensor is one number, repeated."""
    return OrderedDict(
        (
            name,
            torch.tensor(7)
            if name.endswith("num_batches_tracked")
            else torch.full((1,), offset + index / 512).expand(shape),  # exact in half precision
        )
        for index, (name, shape) in enumerate(shapes_of(architecture).items())
    )


@pytest.fixture
def state() -> State:
    return state_of()


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def renamed(state: State, old: str, new: str) -> State:
    return {name.replace(old, new) if name.startswith(old) else name: value for name, value in state.items()}


def without(state: State, *names: str) -> State:
    return {name: value for name, value in state.items() if name not in names}


def with_cycle(state: State) -> dict[str, Any]:
    content: dict[str, Any] = {"trainer": {}, "weights": state}
    content["trainer"]["parent"] = content
    return content


class Listed(list[int]):
    """A list with a name of its own: the unpickler fills true lists only."""


class Stage(enum.Enum):
    """What trainers keep: what has no place here."""

    TRAIN = 1


@dataclasses.dataclass(slots=True)
class Slotted:
    """What a newer script keeps its options in."""

    lr: float = 0.1


@pytest.fixture
def foreign() -> Iterator[types.ModuleType]:
    """A package that is there when a file is saved and not when it is read, as Lightning's and OpenMMLab's are."""
    module = types.ModuleType("a_trainers_package")

    class Config(dict[str, Any]):
        pass

    class Record:
        def __init__(self) -> None:
            self.values = np.arange(3)

    for cls in (Config, Record):
        cls.__module__, cls.__qualname__ = module.__name__, cls.__name__
        setattr(module, cls.__name__, cls)
    sys.modules[module.__name__] = module
    yield module
    sys.modules.pop(module.__name__, None)


def averaged(state: State) -> State:
    """The same network with other numbers: what an average is of."""
    return {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}


FORMS: dict[str, Callable[[State], Any]] = {
    "a state dictionary": lambda s: s,
    "torchvision's references": lambda s: {
        "model": s,
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
        "lr_scheduler": {"milestones": defaultdict(int, {30: 1})},
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, output_dir=pathlib.PurePosixPath("out"), betas=(0.9, 0.99)),
    },
    "PyTorch's tutorial": lambda s: {"epoch": 3, "model_state_dict": s, "loss": 0.1},
    "an unusual key": lambda s: {"checkpoint": {"generator_weights": s}},
    "a tuple": lambda s: (s, {"epoch": 1}),
    "NumPy's numbers beside it": lambda s: {
        "state_dict": s,
        "best_acc": np.float64(0.9),
        "confusion": np.eye(2),
        "names": np.array(["cat", "dog"]),
    },
    "much beside it": lambda s: {
        "net": s,
        "when": dt.datetime(2026, 11, 27, tzinfo=dt.UTC),
        "counts": defaultdict(list, {"a": [1]}),
        "shape": torch.Size([3]),
        "stage": Stage.TRAIN,
        "set": {1, 2},
        "path": Path("x"),
        "complex": 1j,
    },
    "Lightning's prefix": lambda s: {"state_dict": prefixed("model.", s), "hyper_parameters": {"lr": 0.1}},
    "a loss and a metric beside it": lambda s: {
        "state_dict": {**prefixed("net.", s), "criterion.weight": torch.ones(CLASSES), "accuracy.tp": torch.zeros(1)}
    },
    "DDP": lambda s: prefixed("module.", s),
    "compiled": lambda s: prefixed("_orig_mod.", s),
    "DDP of compiled": lambda s: prefixed("module._orig_mod.", s),
    "compiled of DDP": lambda s: prefixed("_orig_mod.module.", s),
    "DDP twice": lambda s: prefixed("module.module.", s),
    "mmpretrain": lambda s: {
        "meta": {"epoch": 1},
        "state_dict": renamed(prefixed("backbone.", s), "backbone.fc.", "head.fc."),
    },
    "a backbone and a classifier": lambda s: renamed(
        prefixed("model.encoder.", s), "model.encoder.fc.", "model.classifier."
    ),
    "a head after dropout": lambda s: renamed(s, "fc.", "fc.1."),
    "two names for one network": lambda s: {
        "state_dict": {
            **renamed(prefixed("backbone.", s), "backbone.fc.", "head."),
            **without(prefixed("model.", s), "model.fc.weight", "model.fc.bias"),
        }
    },
    "one network under two keys": lambda s: {"model": s, "best": s},
    "timm's average": lambda s: {
        "arch": "resnet18",
        "state_dict": averaged(s),
        "args": argparse.Namespace(a=1),
        "state_dict_ema": s,
    },
    "torchvision's average": lambda s: {
        "model": averaged(s),
        "model_ema": {"n_averaged": torch.tensor(3), **prefixed("module.", s)},
    },
    "an average in the same dictionary": lambda s: {**prefixed("net.", averaged(s)), **prefixed("ema.module.", s)},
    "half precision": lambda s: {name: value.half() for name, value in s.items()},
    "double precision": lambda s: {name: value.double() for name, value in s.items()},
    "before batches were counted": lambda s: {n: v for n, v in s.items() if not n.endswith("num_batches_tracked")},
    "Parameters": lambda s: {n: nn.Parameter(v) if v.is_floating_point() else v for n, v in s.items()},
    "a dictionary that holds itself": with_cycle,
    "a long history": lambda s: {"model": s, "losses": [0.5] * 1_000_000},
    "a window of the last losses": lambda s: {"model": s, "window": deque([1.0, 2.0], maxlen=2)},
    "a class with slots": lambda s: {"model": s, "config": Slotted()},
}


def assert_same(loaded: nn.Module, state: State) -> None:
    for name, value in loaded.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("form", FORMS)
def test_what_the_usual_scripts_save_is_read(form: str, state: State, tmp_path: Path) -> None:
    torch.save(FORMS[form](state), tmp_path / "own.pth")
    loaded = checkpoint.load(tmp_path / "own.pth", "resnet18")
    assert loaded.classes == CLASSES
    assert_same(loaded.network, state)
    assert ("taking the averaged parameters" in loaded.remark) is ("average" in form)


@pytest.mark.parametrize("zipped", [True, False], ids=["as today", "as before PyTorch 1.6"])
def test_classes_that_are_not_installed_here_do_not_matter(
    zipped: bool, state: State, foreign: types.ModuleType, tmp_path: Path
) -> None:
    content = {
        "state_dict": state,
        "hyper_parameters": foreign.Config(lr=0.1, nested=foreign.Config(a=[1])),
        "message_hub": {"loss": foreign.Record()},
        "best_acc": np.float32(0.5),
        "args": argparse.Namespace(a=1),
        "counts": defaultdict(list, {"a": [1]}),
        "builtins": [frozenset((1,)), range(3), slice(1)],
    }
    torch.save(content, tmp_path / "own.ckpt", _use_new_zipfile_serialization=zipped)
    del sys.modules[foreign.__name__]
    assert_same(checkpoint.load(tmp_path / "own.ckpt", "resnet18").network, state)


@pytest.mark.parametrize("name", ["model.safetensors", "no-such-ending"])
def test_safetensors_are_read(name: str, state: State, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / name)
    assert_same(checkpoint.load(tmp_path / name, "resnet18").network, state)


def test_a_head_without_bias_has_one_of_zeros(state: State, tmp_path: Path) -> None:
    torch.save(without(state, "fc.bias"), tmp_path / "own.pth")
    assert_same(checkpoint.load(tmp_path / "own.pth", "resnet18").network, {**state, "fc.bias": torch.zeros(CLASSES)})


class Attack:
    """A pickle may run anything when it is read; this one would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


class Worse(Attack):
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("attack", [Attack, Worse])
@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("beside", [True, False])
def test_code_in_a_checkpoint_is_not_run(
    attack: type[Attack], kind: str, beside: bool, state: State, tmp_path: Path
) -> None:
    """Whether it is refused, or left out beside sound parameters."""
    content = {"state_dict": state if beside else attack(tmp_path / "attacked"), "x": attack(tmp_path / "attacked")}
    file = tmp_path / "bad.pth"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=kind == "zip")
    try:
        loaded = checkpoint.load(file, "resnet18")
    except CheckpointError:
        pass
    else:
        assert beside
        assert_same(loaded.network, state)
    assert not (tmp_path / "attacked").exists()


def changed(name: str, value: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, name: value}


def one_value(name: str, value: float) -> Callable[[State], State]:
    def change(state: State) -> State:
        spoilt = state[name].clone()
        spoilt.view(-1)[5] = value
        return {**state, name: spoilt}

    return change


REFUSED: list[tuple[Callable[[State], Any], str]] = [
    (lambda s: without(s, "fc.weight", "fc.bias"), r"holds no head \(fc.weight\): it knows no classes"),
    (
        lambda s: {
            **without(s, "fc.weight", "fc.bias"),
            "fc.0.weight": torch.ones(8, 512),
            "fc.3.weight": torch.ones(4, 8),
        },
        r"its head has 2 layers: fc\.0, fc\.3",
    ),
    (
        lambda s: {**s, "fc.weight": torch.ones(4, 512), "aux.weight": torch.ones(2, 512)},
        r"its head has 2 layers: fc, aux",
    ),
    (changed("fc.weight", torch.ones(1, 512)), r"has 1 output, as for a sigmoid.*torch\.cat"),
    (changed("fc.weight", torch.ones(4, 512, 1)), r"has a head, fc, of 4 x 512 x 1"),
    (changed("fc.weight", torch.ones(4, 100)), "fc.weight is of 4 x 100, expected 4 x 512"),
    (
        changed("conv1.weight", torch.ones(64, 1, 7, 7)),
        "conv1.weight of 64 x 1 x 7 x 7.*pictures have 3 channels, this takes 1",
    ),
    (changed("conv1.weight", torch.ones(64, 3, 3, 3)), "conv1.weight of 64 x 3 x 3 x 3.*plain stem, a 7 x 7"),
    (lambda s: renamed(s, "conv1.", "conv1.0."), "has no conv1.weight, expected 64 x 3 x 7 x 7"),
    (one_value("fc.weight", float("nan")), "holds NaN in fc.weight"),
    (one_value("layer2.0.bn1.running_var", float("inf")), "an infinite number in layer2.0.bn1.running_var"),
    (lambda s: {n: v.to(torch.int8) for n, v in s.items()}, "holds a quantised network"),
    (
        lambda s: {n: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8) if n == _KERNEL else v for n, v in s.items()},
        "holds a quantised network",
    ),
    (lambda s: {**prefixed("encoder_q.", s), **prefixed("encoder_k.", averaged(s))}, "holds 2 networks: encoder_"),
    (lambda s: without(s, "layer3.1.bn2.bias"), "lacks layer3.1.bn2.bias, which a torchvision resnet18 has"),
    (changed("layer1.0.se.weight", torch.ones(1)), "has layer1.0.se.weight, which a torchvision resnet18 has not"),
    (changed("layer1.0.conv1.weight", torch.ones(128, 64, 3, 3)), "layer1.0.conv1.weight is of 128 x 64 x 3 x 3"),
    (lambda _: state_of("resnet34"), "does not fit resnet18: it is a resnet34; add --arch resnet34"),
    (lambda _: state_of("resnet101"), "is a resnet101; only resnet18, resnet34, resnet50 are built"),
    (lambda s: without(s, *(n for n in s if n.startswith("layer4."))), "is of 2, 2, 2, 0 blocks"),
    (lambda _: {"stem.weight": torch.ones(1)}, "nowhere a layer1.0.conv1.weight, but stem.weight"),
    (lambda _: {"state_dict": {"stem.weight": torch.ones(1)}}, "but stem.weight"),
    (lambda _: {"epoch": 3}, "but epoch"),
    (lambda _: {"\x1b[1mred": torch.ones(1)}, r"but \?\[1mred"),
    (lambda _: {}, "but a dict"),
    (lambda _: [torch.ones(1)], "but a list"),
    (lambda _: None, "but a NoneType"),
    (
        lambda _: make("resnet18", 2),
        r"holds a whole model.*torch\.save\(torch\.load\(\"own\.pth\", weights_only=False\)\.state_dict",
    ),
    (lambda _: {"model": make("resnet18", 2)}, "holds a whole model"),
    (lambda _: {"trainer": [{"model": make("resnet18", 2)}]}, "holds a whole model"),
    (lambda s: {"state_dict": s, "x": Listed([1])}, r"holds .*Listed in a form that cannot be left out"),
    (lambda s: {**s, "fc.bias": torch.tensor(0.0)}, "fc.bias is of one number, expected 4"),
    (lambda s: {**s, "fc.weight": torch.eye(4, 512).to_sparse()}, r"holds fc.weight as a sparse tensor.*to_dense"),
    (lambda s: {**s, _KERNEL: torch.eye(4).to_sparse()}, f"holds {_KERNEL} as a sparse tensor"),
    (lambda s: {**s, "fc.weight": torch.ones(4, 512, device="meta")}, "holds no numbers for fc.weight"),
    (lambda _: {"state_dict": {_KERNEL: np.ones(3)}}, "no tensors of PyTorch, but NumPy's or others"),
]


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_cannot_be_used_is_refused_in_a_sentence(
    change: Callable[[State], Any], message: str, state: State, tmp_path: Path
) -> None:
    torch.save(change(state), tmp_path / "own.pth", pickle_module=_PICKLE)
    with pytest.raises(CheckpointError, match=message) as error:
        checkpoint.load(tmp_path / "own.pth", "resnet18")
    assert_a_sentence(str(error.value))


_WRITTEN_IN_PYTHON: Any = pickle._Pickler  # of which typeshed knows no methods


class _Pickler(_WRITTEN_IN_PYTHON):  # type: ignore[misc]
    """Knows that quantisation schemes are PyTorch's.

    They do not say of which module they are; to find it, pickle asks every module that is loaded, and those of Pulumi's
    provider, 2,000 of them, load when they are asked.
    """

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if isinstance(obj, torch.qscheme):
            self.write(f"ctorch\n{str(obj).removeprefix('torch.')}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)


_PICKLE = types.SimpleNamespace(__name__="pickle", Pickler=_Pickler)


def assert_a_sentence(message: str) -> None:
    """One line, and nothing of PyTorch's own texts."""
    assert message.isprintable()
    assert len(message) < 500
    for theirs in ("WeightsUnpickler", "weights_only=True", "add_safe_globals", "Unsupported", "pip install"):
        assert theirs not in message


def damaged(data: bytes) -> bytes:
    """A zip whose list of contents is there and whose contents are not those that were saved."""
    return data.replace(b"storage", b"garbage")


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def empty_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "a")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make_file", "message"),
    [
        (lambda _: None, "does not exist; --weights takes official, a1, lite0, digits, timm, untrained, auto or"),
        (lambda f: f.mkdir(), "is a folder; --weights takes the file"),
        (lambda f: f.write_bytes(b""), "is empty"),
        (lambda f: f.write_bytes(b"garbage"), "is damaged, or neither safetensors nor torch.save with its usual"),
        (
            lambda f: f.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid x"),
            "pointer of Git LFS.*git lfs pull",
        ),
        (lambda f: f.write_bytes(b"\n<!DOCTYPE html><html>"), "is a web page"),
        (lambda f: f.write_bytes(b'{"weight_map": {}}'), "is JSON"),
        (lambda f: f.write_bytes((100).to_bytes(8, "little") + b'{"a":'), "no safetensors file"),
        (lambda f: f.write_bytes(pickle.dumps(list(state_of()), protocol=4)), "is damaged, or neither"),
        (lambda f: torch.save(state_of(), f, pickle_protocol=4), "with its usual pickle_protocol"),
        (lambda f: f.write_bytes(saved(state_of())[:5000]), "is cut off after 5000 bytes"),
        (lambda f: f.write_bytes(damaged(saved(state_of()))), "is damaged, or neither"),
        (lambda f: f.write_bytes(empty_zip()), "is damaged, or neither"),
        (
            lambda f: torch.jit.save(torch.jit.script(nn.Linear(1, 1)), f),
            r"is a TorchScript program.*torch\.jit\.load\(\"own\.pth\"\)\.state_dict",
        ),
    ],
)
def test_other_files_are_refused(make_file: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    make_file(tmp_path / "own.pth")
    with pytest.raises(CheckpointError, match=message) as error:
        checkpoint.load(tmp_path / "own.pth", "resnet18")
    assert_a_sentence(str(error.value))
