"""A run's files: its document as JSON, its verdicts as JUnit XML, every request as a line of a CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from loadtest.errors import LoadTestError
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


def load(path: Path) -> dict[str, Any]:
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
    result: dict[str, Any] = document
    return result


def junit(result: dict[str, Any]) -> bytes:
    """Return JUnit XML: a test case for each target, failed where it was missed."""
    verdicts = result["verdicts"]
    failures = str(sum(not verdict["met"] for verdict in verdicts))
    suites = ET.Element("testsuites", tests=str(len(verdicts)), failures=failures)
    suite = ET.SubElement(
        suites,
        "testsuite",
        name=f"loadtest.{result['scenario']['name']}",
        tests=str(len(verdicts)),
        failures=failures,
        errors="0",
        skipped="0",
        time=str(result["seconds"]),
        timestamp=result["conditions"]["when"],
    )
    names = {request_kind: words for request_kind, words in REQUEST_KINDS.items() if request_kind in result["mix"]}
    for verdict in verdicts:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"loadtest.{result['scenario']['name']}",
            name=f"{verdict['name']} {verdict['condition']}",
            time="0",
        )
        if not verdict["met"]:
            failure = ET.SubElement(case, "failure", type="missed", message=verdict["text"])
            failure.text = verdict["text"]
    out = ET.SubElement(suite, "system-out")
    out.text = f"{result['conditions']['host']}: {', '.join(names.values())}"
    ET.indent(suites)
    xml: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml
