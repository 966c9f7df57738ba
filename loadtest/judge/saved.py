"""A run's files: its document as JSON, its verdicts as JUnit XML, every request as a line of a CSV; read again, too."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from loadtest.errors import LoadTestError
from loadtest.judge.document import RunDocument
from loadtest.judge.results import FORMAT, Run
from loadtest.plan.mix import REQUEST_KINDS

JSON, JUNIT, HTML, PNG, REQUESTS = "results.json", "junit.xml", "report.html", "report.png", "requests.csv.gz"


def save(run: Run, folder: Path) -> None:
    """Write results.json, junit.xml and requests.csv.gz."""
    result = run.result
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
    (folder / JUNIT).write_bytes(junit(result))
    run.records.save(folder / REQUESTS, [phase["name"] for phase in result["scenario"]["phases"]])


def load(path: Path) -> RunDocument:
    """Read a saved run: its results.json, or the folder that holds it.

    Raises:
        LoadTestError: there is none, or it is of something else or of another version.
    """
    file = path / JSON if path.is_dir() else path
    try:
        document = json.loads(file.read_text("utf-8"))
        version = document["format"]
    except OSError as error:
        raise LoadTestError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LoadTestError(f"{file} is no saved run of this load test.") from error
    if version != FORMAT:
        raise LoadTestError(f"{file} has the format {version!r}, this version reads {FORMAT}: run the test again.")
    result: RunDocument = document
    return result


@dataclass(frozen=True)
class Requests:
    """The requests of a run's measured phases, a column each."""

    due_sec: npt.NDArray[np.float64]
    latency_ms: npt.NDArray[np.float64]
    attempt: npt.NDArray[np.int64]
    phase: npt.NDArray[np.str_]
    kind: npt.NDArray[np.str_]
    outcome: npt.NDArray[np.str_]


@dataclass(frozen=True)
class SavedRun:
    """A run that was read again: its document, and every request."""

    result: RunDocument
    requests: Requests

    @property
    def when(self) -> str:
        """Return when it was made, in UTC, which texts sort as times do."""
        return self.result["conditions"]["when"]

    @property
    def seconds(self) -> float:
        """Return how long its measured phases took."""
        return float(sum(phase["seconds"] for phase in self.result["scenario"]["phases"] if phase["measured"]))


def load_side(path: Path) -> list[SavedRun]:
    """Read a run, or all runs of a folder that holds a folder for each, in the order in which they were made.

    Raises:
        LoadTestError: there is none, or one cannot be read.
    """
    places = [path]
    if path.is_dir() and not (path / JSON).exists():
        places = [file.parent for file in path.glob(f"*/{JSON}")]
        if not places:
            raise LoadTestError(f"{path} holds no run: neither {JSON} nor folders with one each.")
    return sorted((_with_requests(place) for place in places), key=lambda run: run.when)


def _with_requests(path: Path) -> SavedRun:
    result, file = load(path), (path if path.is_dir() else path.parent) / REQUESTS
    try:
        measured = {phase["name"] for phase in result["scenario"]["phases"] if phase["measured"]}
        with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["phase"] in measured]
        numbers: dict[str, Any] = {"due_sec": np.float64, "latency_ms": np.float64, "attempt": np.int64}
        columns: dict[str, Any] = {
            name: np.array([row[name] for row in rows], np.str_).astype(numbers.get(name, np.str_))
            for name in Requests.__dataclass_fields__
        }
        return SavedRun(result, Requests(**columns))
    except OSError as error:
        raise LoadTestError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (EOFError, KeyError, TypeError, ValueError, csv.Error, zlib.error) as error:
        raise LoadTestError(f"{file} does not hold the requests of a load test.") from error


def junit(result: RunDocument) -> bytes:
    """Return JUnit XML: a test case for each target, failed where it was missed; one more where it was interrupted."""
    name = f"loadtest.{result['scenario']['name']}"
    cases = [(f"{v['name']} {v['condition']}", "" if v["met"] else v["text"]) for v in result["verdicts"]]
    if result.get("interrupted"):
        cases.append(("ran to its end", "The test was interrupted: the verdicts are on what was measured until then."))
    counts = {"tests": str(len(cases)), "failures": str(sum(bool(why) for _, why in cases))}
    suites = ET.Element("testsuites", counts)
    times = {"time": str(result["seconds"]), "timestamp": result["conditions"]["when"]}
    suite = ET.SubElement(suites, "testsuite", {"name": name, **counts, "errors": "0", "skipped": "0", **times})
    for what, why in cases:
        case = ET.SubElement(suite, "testcase", classname=name, name=what, time="0")
        if why:
            ET.SubElement(case, "failure", type="missed", message=why).text = why
    names = {request_kind: words for request_kind, words in REQUEST_KINDS.items() if request_kind in result["mix"]}
    out = ET.SubElement(suite, "system-out")
    out.text = f"{result['conditions']['host']}: {', '.join(names.values())}"
    ET.indent(suites)
    xml: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml
