"""A file of weights is read without running what is in it.

A checkpoint is a pickle, and a pickle may run anything when it is read. PyTorch's restricted unpickler calls only what
makes tensors, but refuses a file for anything else that lies beside them: arguments, NumPy's numbers, a trainer's own
classes. Those become inert things here, whatever they are; nothing of them is imported and nothing called.
"""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._utils import IMPORT_MAPPING, NAME_MAPPING

from service.build.options import NAMED
from service.errors import ServiceError

SAVE = 'torch.save(model.state_dict(), "weights.pth")'
# What is often met under the name of a checkpoint: how it begins, what it is and what to do.
_STRANGERS = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself: git lfs pull fetches it"),
    (b"<", "is a web page, not the file that was to be downloaded: download it again"),
    (b"{", "is JSON: give the file of weights itself, and of a network in several files save it again in one"),
)
_MAKES_TENSORS = re.compile(r"torch\._utils\..*|torch\.\w+Storage|collections\.OrderedDict")


class CheckpointError(ServiceError):
    """A checkpoint cannot be used; the message says what is wrong with it."""


class _Inert:
    """Stands for what a file holds beside tensors.

    The unpickler fills only true dictionaries, and gives a state of any form only to classes that it was told of. A
    thing made without arguments is one to fill: a Counter, the one dictionary that is also given the state of a class
    with slots. One made of arguments is given a state.
    """

    def __new__(cls, *arguments: object) -> Any:
        return super().__new__(cls) if arguments else Counter()

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _filled_as_list(*_: object) -> list[Any]:
    return []


def _filled_as_dictionary(*_: object) -> Counter[Any]:
    return Counter()


# What is made of arguments and filled all the same.
_FILLED = {"collections.deque": _filled_as_list, "collections.defaultdict": _filled_as_dictionary}


def read(file: Path) -> Any:
    """Return what `torch.save` or safetensors wrote: tensors, plain data, and inert things for all else.

    Raises:
        CheckpointError: there is no such file, or it is something else.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(64)
    except FileNotFoundError:
        raise CheckpointError(f"{file} does not exist; --weights takes {', '.join(NAMED)} or a file") from None
    except IsADirectoryError:
        raise CheckpointError(f"{file} is a folder; --weights takes the file of weights in it") from None
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None
    if not start:
        raise CheckpointError(f"{file} is empty: copy or download it again")
    for beginning, what in _STRANGERS:
        if start.lstrip().startswith(beginning):
            raise CheckpointError(f"{file} {what}")
    if file.suffix == ".safetensors" or start[8:9] == b"{":
        return _read_safetensors(file)
    if not start.startswith(b"PK"):
        return _read_pickle(file)
    if not zipfile.is_zipfile(file):
        raise CheckpointError(f"{file} is cut off after {file.stat().st_size} bytes: copy or download it again")
    with zipfile.ZipFile(file) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in names:
        raise CheckpointError(
            f"{file} is a TorchScript program; save its parameters alone: "
            f'torch.save(torch.jit.load("{file.name}").state_dict(), "weights.pth")'
        )
    return _read_pickle(file)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError):
        raise CheckpointError(f"{file} is damaged or no safetensors file: copy or download it again") from None


def _read_pickle(file: Path) -> Any:
    others: Collection[str] = ()
    try:
        others = _globals(file)
        stand_ins: list[Any] = [(_FILLED.get(name, _Inert), name) for name in others]
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror or error}") from None
    except Exception:  # damaged and hostile files raise whatever they like; PyTorch's words are for its own callers
        if not others:
            raise CheckpointError(
                f"{file} is damaged, or neither safetensors nor torch.save with its usual pickle_protocol wrote it. "
                f"Copy it again, or save the parameters where the network was trained: {SAVE}"
            ) from None
        raise CheckpointError(
            f"{file} holds {listed(others)} in a form that cannot be left out without running it. Save the parameters "
            f"alone where the network was trained: {SAVE}"
        ) from None


def _globals(file: Path) -> list[str]:
    """Return the functions and classes that a pickle asks for, but for those that make tensors."""
    if zipfile.is_zipfile(file):
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    names = set()
    with file.open("rb") as stream:
        for _ in range(4):  # before PyTorch 1.6: a magic number, a version, the system's, then what was saved
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    module, _, name = str(argument).partition(" ")
                    # As the unpickler does: protocol 2 has Python 2's names.
                    names.add(".".join(NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))))
    return sorted(name for name in names if not _MAKES_TENSORS.fullmatch(name))


def listed(names: Collection[str], most: int = 3) -> str:
    """Return the first names, fit for a terminal, and how many more there are."""
    shown = ["".join(c if c.isprintable() else "?" for c in name[:80]) for name in list(names)[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
