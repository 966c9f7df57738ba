"""Give every file below a folder one time stamp, and compile its Python: `python fix_times.py FOLDER`.

Equal content then gives equal layers, on every machine and day. The byte code is bound to nothing (unchecked-hash): it
is built with its source and never outlives it, and the running container cannot write a newer one.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import sys
from pathlib import Path

EPOCH = 946_684_800  # 2000-01-01; zip files cannot hold 1970


def fix(folder: Path) -> None:
    """Compile and stamp everything below `folder`, itself included; `folder` is left out of what tracebacks show."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(folder, quiet=2, maxlevels=50, invalidation_mode=mode, stripdir=str(folder))
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


if __name__ == "__main__":
    fix(Path(sys.argv[1]))
