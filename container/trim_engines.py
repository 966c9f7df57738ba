"""Remove the engines that a bundle is never served with from packages: `python trim_engines.py FOLDER MANIFEST`.

Stay those of which ENGINE=auto takes one, for the precision that the bundle is packed for.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from service.model.engines.table import ENGINES, PREFERRED


def trim(folder: Path, precision: str) -> list[str]:
    """Remove the packages of the other engines from `folder`; returns their names."""
    unused = {spec.package for spec in ENGINES.values()} - {ENGINES[name].package for name in PREFERRED[precision]}
    removed = sorted(package for package in unused if (folder / package).is_dir())
    for package in removed:
        for path in (folder / package, *folder.glob(f"{package}-*.dist-info"), *folder.glob(f"{package}.libs")):
            shutil.rmtree(path)
    return removed


if __name__ == "__main__":
    served = json.loads(Path(sys.argv[2]).read_text("utf-8"))["default_precision"]
    print(f"served in {served}: removed {', '.join(trim(Path(sys.argv[1]), served)) or 'no engine'}")
