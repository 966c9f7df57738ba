"""Step `contents`: does the image list what it holds, and is nothing in it known to be vulnerable?

`python -m pipeline.contents` reads the list that the step `start` took out of the image, compares its Python packages
with the pinned requirements, without the engines that its bundle is not served with, and asks a database about all of
it. A database that cannot be asked is no pass.

What stops a release is what somebody can mend: a vulnerable Python package, because each was chosen here, and a Debian
package for which Debian has a fixed version, because a newer base image has it. What Debian has not fixed is told: a
gate that nobody can open would be taken away. accepted_vulnerabilities.toml lets one pass until a day.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packageurl import PackageURL

from pipeline import accepted, osv, settings
from pipeline.answers import ARTIFACTS, MANIFEST
from pipeline.errors import StepFailed, log, main

SBOM = ARTIFACTS / "sbom.cdx.json"
_PYTHON = "PyPI"
# Engines that are pinned and not in an image, by what its bundle is served in (container/trim_engines.py).
LEFT_OUT = {"int8": {"ncnn"}, "fp32": set[str]()}


def listed(sbom: Path) -> list[osv.Package]:
    """Return the packages of an image's list of contents as the database names them, Debian's by source package.

    Raises:
        StepFailed: the list is missing or none.
    """
    try:
        components = json.loads(sbom.read_text("utf-8"))["components"]
        purls = [PackageURL.from_string(item["purl"]) for item in components if "purl" in item]
        return sorted({_python(purl) if purl.type == "pypi" else _debian(purl) for purl in purls})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StepFailed(f"{sbom} is no list of contents ({error!r}): build the image again.") from error


def _python(purl: PackageURL) -> osv.Package:
    return osv.Package(_PYTHON, purl.name, purl.version or "")


def _debian(purl: PackageURL) -> osv.Package:
    """Return the source package: `upstream` is SOURCE, or SOURCE@VERSION; without it both are the package's own."""
    qualifiers = dict(purl.qualifiers)
    distribution, _, release = qualifiers["distro"].partition("-")
    name, _, version = qualifiers.get("upstream", purl.name).partition("@")
    return osv.Package(f"{distribution.capitalize()}:{release}", name, version or purl.version or "")


def pinned(requirements: Path) -> dict[str, str]:
    """Return the versions by normalised name from a pinned requirements file."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", requirements.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def served_precision(manifest: Path) -> str:
    """Return what an image's bundle is served in, by its manifest.

    Raises:
        StepFailed: the manifest does not say.
    """
    try:
        precision: str = json.loads(manifest.read_text("utf-8"))["default_precision"]
        if precision in LEFT_OUT:
            return precision
        reason = f"its precision is {precision!r}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = repr(error)
    raise StepFailed(f"{manifest} is no manifest of a bundle ({reason}): build the image again.")


def compare(packages: Sequence[osv.Package], requirements: Path, precision: str) -> int:
    """Compare an image's Python packages with those that are pinned for its precision; returns how many there are.

    Raises:
        StepFailed: they are not the same.
    """
    held = {package.name: package.version for package in packages if package.ecosystem == _PYTHON}
    wanted = {name: version for name, version in pinned(requirements).items() if name not in LEFT_OUT[precision]}
    if held != wanted:
        different = sorted(f"{name} {version}" for name, version in held.items() ^ wanted.items())
        raise StepFailed(
            f"the image does not hold what {requirements} says for {precision} (different: {', '.join(different)}): "
            "build it from this commit."
        )
    return len(held)


@dataclass(frozen=True)
class Report:
    """What is known of an image's packages.

    Attributes:
        blocking: what stops its release.
        passed: what would, and is accepted for a time.
        unfixed: what has no fix in Debian yet.
        unmatched: what is accepted, and nothing has.
    """

    blocking: tuple[osv.Vulnerability, ...]
    passed: tuple[osv.Vulnerability, ...]
    unfixed: tuple[osv.Vulnerability, ...]
    unmatched: tuple[accepted.Accepted, ...]


def judge(vulnerabilities: Sequence[osv.Vulnerability], entries: Sequence[accepted.Accepted]) -> Report:
    """Tell what stops a release from what does not."""
    blocking, passed, unfixed = [], [], []
    for one in vulnerabilities:
        if any(entry.covers(one) for entry in entries):
            passed.append(one)
        elif one.fixed or one.package.ecosystem == _PYTHON:
            blocking.append(one)
        else:
            unfixed.append(one)
    unmatched = [entry for entry in entries if not any(entry.covers(one) for one in passed)]
    return Report(tuple(blocking), tuple(passed), tuple(unfixed), tuple(unmatched))


def tell(report: Report) -> None:
    """Print what is known.

    Raises:
        StepFailed: something stops a release.
    """
    for one in report.passed:
        log(f"contents: {_described(one)}: accepted for a time")
    for entry in report.unmatched:
        log(f"contents: {accepted.FILE.name} accepts {entry.id} of {entry.package}, which nothing has: remove it")
    if report.unfixed:
        counts = Counter(f"{one.package.name} {one.package.version}" for one in report.unfixed)
        log(
            f"contents: {len(report.unfixed)} known vulnerabilities without a fix in Debian yet, which stop nothing: "
            + ", ".join(f"{count} in {name}" for name, count in sorted(counts.items()))
        )
    for one in report.blocking:
        log(f"contents: {_described(one)}")
    if report.blocking:
        raise StepFailed(
            "the image holds known vulnerabilities, listed above: raise Python packages with `make requirements` and "
            f"Debian's with a newer base image (`make pin`), or accept one for a time in pipeline/{accepted.FILE.name}."
        )


def _described(one: osv.Vulnerability) -> str:
    fix = f"fixed in {', '.join(one.fixed)}" if one.fixed else "no fix yet"
    return f"{one.package.name} {one.package.version}: {', '.join(one.names)} ({fix})"


def check(given: settings.Settings, today: dt.date) -> None:
    """Check the list of contents that the step `start` has left.

    Raises:
        StepFailed: it is not what is pinned, something is vulnerable, or nobody can say.
    """
    packages = listed(SBOM)
    precision = served_precision(MANIFEST)
    count = compare(packages, Path(given.requirements), precision)
    log(f"contents: {count} Python packages, as pinned for {precision}")
    entries = accepted.read(Path(given.accepted or accepted.FILE), today)
    try:
        vulnerabilities = osv.look_up(given.osv_url, packages)
    except StepFailed as reason:
        raise StepFailed(f"nobody could say whether the image is vulnerable: {reason} Build again later.") from reason
    tell(judge(vulnerabilities, entries))
    log(f"contents: no vulnerability that could be mended is known in {len(packages)} packages")


def _step() -> None:
    try:
        check(settings.read(), dt.datetime.now(dt.UTC).date())
    except StepFailed as reason:
        raise StepFailed(f"{reason} Nothing was pushed or changed.") from reason


if __name__ == "__main__":
    main(_step)
