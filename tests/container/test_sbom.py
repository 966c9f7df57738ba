"""The image's list of contents names packages as scanners match them; test_image.py asks the same of the real image."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from packageurl import PackageURL

from pipeline import contents
from pipeline.osv import Package
from tests.conftest import REPOSITORY
from tests.container.cyclonedx import complaint

# As dpkg writes it; the last one was removed, and its configuration stayed.
STATUS = """\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Source: zlib
Version: 1:1.2.13.dfsg-1+deb12u1
Description: compression library
 A line that goes on: no field.

Package: libgcc-s1
Status: install ok installed
Architecture: amd64
Source: gcc-12 (12.2.0-14+deb12u1)
Version: 12.2.0-14+deb12u1+b2

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2026a-0+deb12u1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION="12 (bookworm)"\nID=debian\n'


@pytest.fixture
def document(tmp_path: Path) -> str:
    metadata = tmp_path / "packages" / "Pillow-13.0.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.4\nName: Pillow\nVersion: 13.0.0\nLicense-Expression: MIT-CMU\n")
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "os-release").write_text(OS_RELEASE)
    sources = [str(tmp_path / name) for name in ("packages", "status", "os-release")]
    command = [sys.executable, str(REPOSITORY / "container" / "sbom.py"), *sources]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_is_valid(document: str) -> None:
    assert complaint(document) is None


def test_a_scanner_finds_release_source_package_and_its_version(document: str) -> None:
    """By a parser of package URLs; a package that is its own source names none."""
    purls = [PackageURL.from_string(item["purl"]) for item in json.loads(document)["components"]]
    found = {
        (purl.type, purl.namespace, purl.name, purl.version): purl.qualifiers
        for purl in sorted(purls, key=lambda purl: purl.name)
    }
    debian = {"arch": "amd64", "distro": "debian-12"}
    assert found == {
        ("deb", "debian", "libgcc-s1", "12.2.0-14+deb12u1+b2"): {**debian, "upstream": "gcc-12@12.2.0-14+deb12u1"},
        ("pypi", None, "pillow", "13.0.0"): {},
        ("deb", "debian", "tzdata", "2026a-0+deb12u1"): {**debian, "arch": "all"},
        ("deb", "debian", "zlib1g", "1:1.2.13.dfsg-1+deb12u1"): {**debian, "upstream": "zlib"},
    }


def test_the_pipeline_asks_for_what_debians_advisories_name(document: str, tmp_path: Path) -> None:
    file = tmp_path / "sbom.cdx.json"
    file.write_text(document)
    assert contents.listed(file) == [
        Package("Debian:12", "gcc-12", "12.2.0-14+deb12u1"),
        Package("Debian:12", "tzdata", "2026a-0+deb12u1"),
        Package("Debian:12", "zlib", "1:1.2.13.dfsg-1+deb12u1"),
        Package("PyPI", "pillow", "13.0.0"),
    ]
