"""Whether the disk has room for a build, found out before it begins."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from torch import nn

from service.errors import BuildError

# Times the network's parameters as FP32. In the bundle: ONNX, ncnn's, TorchScript and a quarter for INT8; in the
# temporary folder, one after the other: TorchScript with what the converter makes of it, and the quantiser's copies.
_BUNDLE, _TEMPORARY = 3.5, 4.5


def check(network: nn.Module, folder: Path) -> None:
    """Raise BuildError where the bundle's folder or the temporary one has no room for what a build writes."""
    size_bytes = 4 * sum(value.numel() for value in network.state_dict().values())
    needs = {folder: _BUNDLE * size_bytes, Path(tempfile.gettempdir()): _TEMPORARY * size_bytes}
    for place, needed_bytes in needs.items():
        free_bytes = shutil.disk_usage(place).free
        if free_bytes < needed_bytes:
            raise BuildError(
                f"{place} has {free_bytes / 1e6:.0f} MB left, a build writes {needed_bytes / 1e6:.0f} MB there: make "
                "room, or choose another place with --output, for temporary files with TMPDIR"
            )
