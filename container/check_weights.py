"""May an image be built of these weights? `python check_weights.py WEIGHTS [ARCH]` prints the options for `build`.

Asked before PyTorch is installed. An image holds the weights that it was asked for: `auto`, which takes a stand-in
where they cannot be had, is for `make run`, and a file of somebody's own comes as a bundle.
"""

from __future__ import annotations

import sys

from service.errors import BuildError
from service.model.networks import NETWORKS, TIMM, find

# timm's networks come from its own hub, by a package that the build of an image does not install.
NAMES = tuple(dict.fromkeys(row.weights for row in NETWORKS if row.architecture != TIMM))


def options(weights: str, architecture: str = "") -> str:
    """Return what `service build` is told.

    Raises:
        SystemExit: an image cannot be built of these; says of which it can.
    """
    if weights not in NAMES or architecture.startswith(TIMM):
        raise SystemExit(
            f"WEIGHTS={weights} ARCH={architecture}: an image is built of {', '.join(NAMES)}, and never of a stand-in; "
            "build anything else here, and then the image of that: make image WEIGHTS=local"
        )
    try:
        return f"--weights {weights} --arch {find(weights, architecture or None).architecture}"
    except BuildError as error:
        raise SystemExit(f"WEIGHTS={weights} ARCH={architecture}: {error}") from None


if __name__ == "__main__":
    print(options(*sys.argv[1:]))
