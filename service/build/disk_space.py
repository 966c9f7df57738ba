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


def check(network: nn.Module, folder: Path, target: Path) -> None:
    """Raise BuildError where there is no room for a build in `folder`, in `target` and for temporary files."""
    size_bytes = 4 * sum(value.numel() for value in network.state_dict().values())
    needs = {place.stat().st_dev: (place, _BUNDLE) for place in (folder, target) if place.exists()}
    temporary = Path(tempfile.gettempdir())
    device = temporary.stat().st_dev
    place, times = needs.get(device, (temporary, 0.0))
    needs[device] = (place, times + _TEMPORARY)
    for place, times in needs.values():
        free_bytes, needed_bytes = shutil.disk_usage(place).free, times * size_bytes
        if free_bytes < needed_bytes:
            raise BuildError(
                f"{place} has {free_bytes / 1e6:.0f} MB left, a build writes {needed_bytes / 1e6:.0f} MB there: make "
                "room, or choose another place with --output, for temporary files with TMPDIR"
            )
