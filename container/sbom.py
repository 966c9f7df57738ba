"""List what an image contains as CycloneDX 1.6: `python sbom.py PACKAGES DPKG_STATUS OS_RELEASE > sbom.cdx.json`.

The Python packages come from their own metadata in PACKAGES, the Debian packages from dpkg's status file, the release
from /etc/os-release. The same content gives the same document: no time, no random serial number.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

# A time stamp is required by the library and unwanted here; this one says that it means nothing.
_FIXED_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def make(packages: Path, dpkg_status: Path, os_release: Path) -> Bom:
    """Return the document for the Python packages in `packages` and the Debian packages in `dpkg_status`."""
    bom = Bom()
    for component in [*python_components(packages), *debian_components(dpkg_status, distribution_release(os_release))]:
        bom.components.add(component)
    names = "\n".join(sorted(str(component.purl) for component in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, names)
    bom.metadata.timestamp = _FIXED_TIME
    return bom


def python_components(packages: Path) -> Iterator[Component]:
    """Yield the packages that are installed in a folder."""
    licences = LicenseFactory()
    for distribution in distributions(path=[str(packages)]):
        metadata = distribution.metadata
        name = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
        stated = next((metadata[key] for key in ("License-Expression", "License") if key in metadata), "")
        known: list[Any] = []
        if stated and "\n" not in stated.strip():
            known = [licences.make_from_string(stated.strip())]
        elif stated:
            known = [DisjunctiveLicense(name="see the licence text in the package")]
        yield Component(
            name=name,
            version=distribution.version,
            type=ComponentType.LIBRARY,
            purl=PackageURL("pypi", name=name, version=distribution.version),
            bom_ref=f"pypi/{name}",
            licenses=known,
        )


def distribution_release(os_release: Path) -> str:
    """Return a distribution and its release as package URLs name it, such as debian-12."""
    lines = (line.partition("=") for line in os_release.read_text("utf-8").splitlines())
    values = {key: value.strip("\"'") for key, _, value in lines}
    return f"{values['ID']}-{values['VERSION_ID']}"


def debian_components(dpkg_status: Path, distro: str) -> Iterator[Component]:
    """Yield the packages that dpkg has installed.

    Scanners choose Debian's list of advisories by `distro`, and those are by source package: `upstream`, as SOURCE or
    SOURCE@VERSION, where the package is not called so itself (https://github.com/package-url/purl-spec, deb; Syft and
    Grype).
    """
    for paragraph in dpkg_status.read_text("utf-8").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        if fields.get("Status", "").endswith(" installed"):
            qualifiers = {"arch": fields.get("Architecture", "all"), "distro": distro}
            if source := re.fullmatch(r"(\S+)(?: \((\S+)\))?", fields.get("Source", "")):
                qualifiers["upstream"] = "@".join(filter(None, source.groups()))
            yield Component(
                name=fields["Package"],
                version=fields["Version"],
                type=ComponentType.LIBRARY,
                purl=PackageURL("deb", "debian", fields["Package"], fields["Version"], qualifiers),
                bom_ref=f"deb/{fields['Package']}",
            )


if __name__ == "__main__":
    print(JsonV1Dot6(make(*map(Path, sys.argv[1:4]))).output_as_string(indent=1))
