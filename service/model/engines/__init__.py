"""A bundle's network, run: uint8 [N, H, W, 3] pixels become float32 [N, classes] logits.

One small interface (`base`), a table (`table`) with a row for each engine, a module for each. Each is told how many
threads to use; none is left to count processors by itself, because their own counts ignore the cgroup quota or the
affinity mask. Each may be called from several threads at once.

The packages are imported when an engine is made: a server needs only the one it runs, and never PyTorch unless
ENGINE=torch asks for it. `serve` chooses an engine before gunicorn starts, and does not wait for NumPy there.
"""

from __future__ import annotations

import importlib
import importlib.util
import mmap
import sys
from typing import TYPE_CHECKING

from service.errors import EngineError
from service.model.bundle import Bundle
from service.model.engines.table import ENGINES, PREFERRED

if TYPE_CHECKING:
    from service.model.engines.base import Engine


def _installed(name: str) -> bool:
    return importlib.util.find_spec(ENGINES[name].package) is not None


def networks(engine: str, precision: str) -> tuple[str, ...]:
    """List the networks of a bundle that an engine reads, as Bundle.network names them.

    Raises:
        EngineError: the engine has none of this precision.
    """
    try:
        return ENGINES[engine].networks[precision]
    except KeyError:
        raise EngineError(f"ENGINE={engine} runs no {precision} network; choose another engine or precision.") from None


def choose(bundle: Bundle, engine: str = "auto", precision: str = "auto") -> tuple[str, str]:
    """Return the engine and the precision that a bundle is served with, each as asked for or, for "auto", the best.

    The precision is then what the bundle's accuracy gate allowed, where the engine has it; the engine the first of
    `table.PREFERRED` that is installed and whose networks the bundle holds.
    """
    if precision == "auto":
        precision = bundle.manifest.default_precision
        if engine != "auto" and precision not in ENGINES[engine].networks:
            [precision] = ENGINES[engine].networks
    if engine == "auto":
        held = set(bundle.manifest.networks)
        usable = (name for name in PREFERRED[precision] if set(networks(name, precision)) <= held and _installed(name))
        # Where none can be used, the last one's error names the remedy.
        engine = next(usable, PREFERRED[precision][-1])
    return engine, precision


def check_available(name: str) -> None:
    """Raise EngineError, with the remedy, where an engine is not installed or forbidden to work; imports none."""
    if not _installed(name):
        package = ENGINES[name].package
        if importlib.util.find_spec("service.build") is None:  # in the production image, where pip is not either
            held = ", ".join(other for other in ENGINES if _installed(other))
            kinds = [f", or build it with PRECISION={kind}" for kind, names in PREFERRED.items() if name in names]
            raise EngineError(f"ENGINE={name} is not in this image, which holds {held}: leave it away{''.join(kinds)}.")
        raise EngineError(
            f"ENGINE={name} needs the package {package}: pip install {package}, or choose another engine."
        )
    if ENGINES[name].writes_code and not _written_code_may_run():
        others = [
            f"ENGINE={other}" + "".join(f" PRECISION={only}" for only in spec.networks if len(spec.networks) == 1)
            for other, spec in ENGINES.items()
            if not spec.writes_code and _installed(other)
        ]
        raise EngineError(
            f"ENGINE={name} writes machine code for this processor and runs it, and memory that is both writable and "
            "executable is forbidden to this process. Allow it (systemd: MemoryDenyWriteExecute=no; SELinux: execmem)"
            + (f", or set {' or '.join(others)}, where the bundle has such a network." if others else ".")
        )


def _written_code_may_run() -> bool:
    """Return whether memory may be both writable and executable, as systemd, SELinux or seccomp can forbid."""
    if sys.platform != "linux":  # macOS allows it in a way of its own
        return True
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


def open_engine(bundle: Bundle, name: str, precision: str, threads: int) -> Engine:
    """Load and compile a bundle's network.

    Args:
        bundle: a verified bundle.
        name: one of `table.ENGINES`, or auto for the best.
        precision: fp32 or int8, or auto for the bundle's default.
        threads: processors to use, at least 1.

    Raises:
        BundleError: the bundle does not hold such a network.
        EngineError: the engine is not installed, or cannot compile the network here.
    """
    name, precision = choose(bundle, name, precision)
    check_available(name)
    files = [bundle.network(network) for network in networks(name, precision)]
    module, class_name = ENGINES[name].opener
    try:
        engine: type[Engine] = getattr(importlib.import_module(f"{__name__}.{module}"), class_name)
        return engine(files, precision, threads, bundle.manifest.crop)
    except Exception as error:  # each engine raises classes of its own, without a common ancestor
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise EngineError(f"ENGINE={name} cannot load {files[0]}: {reason}") from error
