"""Step `contents`: does the image list what it holds, and is nothing in it known to be vulnerable?

`python -m pipeline.contents` reads the list that the step `start` took out of the image, compares it with the pinned
requirements, and asks container/audit.sh about those. A database that cannot be asked is no pass.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from pipeline.errors import StepFailed, log, main

SBOM = Path(".pipeline/sbom.cdx.json")
_UNCHANGED = "Nothing was pushed or changed."


def listed(sbom: Path) -> dict[str, str]:
    """Return the versions of the Python packages by name, from a CycloneDX list.

    Raises:
        StepFailed: it is missing or none.
    """
    try:
        components = json.loads(sbom.read_text("utf-8"))["components"]
        packages = [item for item in components if item.get("purl", "").startswith("pkg:pypi/")]
        return {item["name"]: item["version"] for item in packages}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StepFailed(f"{sbom} is no list of contents ({error!r}): build the image again. {_UNCHANGED}") from error


def pinned(requirements: Path) -> dict[str, str]:
    """Return the versions by normalised name from a pinned requirements file."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", requirements.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def _step() -> None:
    requirements = Path(os.environ.get("REQUIREMENTS", "requirements/serve.txt"))
    held, wanted = listed(SBOM), pinned(requirements)
    if held != wanted:
        strange = sorted(f"{name} {version}" for name, version in held.items() ^ wanted.items())
        raise StepFailed(
            f"the image does not hold what {requirements} says (different: {', '.join(strange)}): build it from this "
            f"commit. {_UNCHANGED}"
        )
    log(f"contents: {len(held)} packages, as pinned")
    code = subprocess.run(["container/audit.sh"], env={**os.environ, "PYTHON": sys.executable}, check=False).returncode  # noqa: S607  # a script of this repository
    if code == 1:
        raise StepFailed(
            f"the image holds known vulnerabilities, listed above: raise the versions with `make requirements`. "
            f"{_UNCHANGED}"
        )
    if code:
        raise StepFailed(
            f"nobody could say whether the image is vulnerable, see above: build again later. {_UNCHANGED}"
        )


if __name__ == "__main__":
    main(_step)
